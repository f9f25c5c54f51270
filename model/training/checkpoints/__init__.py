"""A stage's state on disk: what each rank holds, written in the background, read by any number of processes."""
