"""Where a model is weak, and which sources of the registry would address it: Eagle 2's proactive search for data."""
