"""The `data` part of a recipe, one file a step."""
