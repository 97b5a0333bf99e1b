"""What the runtime knows of itself: histograms, status file, tables."""
