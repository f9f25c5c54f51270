"""This rank's packs, read and decoded ahead of the step that computes."""
