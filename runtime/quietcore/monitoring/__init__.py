"""What others see of a host: one look at everything, as metrics, as a terminal screen, as a web page."""
