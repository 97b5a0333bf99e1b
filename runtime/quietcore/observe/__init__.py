"""What the runtime knows of itself: status file, tables."""
