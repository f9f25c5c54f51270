"""Training: a stage under torchrun, its engine, its loop and what it tells."""
