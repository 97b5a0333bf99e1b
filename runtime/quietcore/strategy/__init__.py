"""From tick to intent, compiled: the loop on its own core, its strategies, the checks before an order."""
