"""Everything that knows a venue by name. The rest of the runtime works with `interface.py` alone."""
