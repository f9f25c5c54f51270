"""Questions in the shapes of public benchmarks, made of held-out samples alone."""
