"""The pipelines as KFP graphs, where their tasks run, and the `aerie` command line."""
