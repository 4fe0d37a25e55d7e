"""Benchmarks: engines side by side, each proved before it is timed. ``sgn-rt bench`` runs them."""
