"""Part (c): TensorRT and TensorRT for RTX."""
