"""The mixture of vision encoders."""
