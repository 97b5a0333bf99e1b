"""Market data out of shared memory, without a copy."""
