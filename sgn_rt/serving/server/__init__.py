"""A server: recordings over HTTP, live streams over WebSocket."""
