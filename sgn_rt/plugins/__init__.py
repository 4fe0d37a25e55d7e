"""TensorRT plugins ``sgn::Stft`` and ``sgn::Istft``: C++ sources, built on demand, found by the runtime (README.md)."""
