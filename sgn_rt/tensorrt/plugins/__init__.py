"""TensorRT plugins ``sgn::Stft`` and ``sgn::Istft``: built on demand, found by the runtime."""
