"""Two measurements side by side: what is better, worse, or no different, and how sure that is."""
