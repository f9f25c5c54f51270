"""Source cards, one adapter per raw format, and the sourcing step."""
