"""Held-out questions asked of a checkpoint, predictions stored once, scores, and the report of a run."""
