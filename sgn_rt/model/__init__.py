"""What a model is, and what it promises; NumPy and SciPy only."""
