"""Part (a): the GPU without TensorRT."""
