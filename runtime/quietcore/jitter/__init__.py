"""Who interrupts a core, how often, for how long, and because of what."""
