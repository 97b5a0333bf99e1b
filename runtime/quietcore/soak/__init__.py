"""The pipeline under load: an invented venue, the feed handler, the ring, and the strategy's loop."""
