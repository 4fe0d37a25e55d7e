"""Many live streams on one engine."""
