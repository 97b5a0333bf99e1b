"""What this project promises of its speed, as data, and how each promise is measured on this host."""
