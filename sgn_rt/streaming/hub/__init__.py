"""Many live streams on one engine: `hub` for who opens them, `hub_stream` for each of them."""
