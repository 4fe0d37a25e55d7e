"""Part (b): ONNX Runtime's providers for GPUs."""
