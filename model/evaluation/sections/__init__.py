"""The report's sections, one file each: a run folder in, a typed section out."""
