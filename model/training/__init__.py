"""Training: stages, engine, loop, cost."""
