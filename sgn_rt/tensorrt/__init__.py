"""Engines of TensorRT, and of TensorRT for RTX: built, described, checked, run."""
