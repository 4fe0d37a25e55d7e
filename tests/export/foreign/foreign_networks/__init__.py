"""Networks that are not ours, as users bring them: each file has a factory, and random weights."""
