"""From intent to fill: the gateway, its orders, and what the process asks of the kernel."""
