"""Engines of TensorRT run: contexts, lanes, sessions."""
