"""What a recipe will need before anything runs: FLOPs, memory, hours, machines."""
