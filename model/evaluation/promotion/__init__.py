"""What a checkpoint must hold against the last accepted one, and the registry of those that did."""
