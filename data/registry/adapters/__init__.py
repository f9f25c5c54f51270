"""One module per raw format; each offers `read` and `identity` (see `data.registry.rows`)."""
