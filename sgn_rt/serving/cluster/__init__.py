"""Many machines: Ray Data."""
