"""Engines of TensorRT made from a bundle's graphs."""
