"""Graphs of a bundle in what reads ONNX besides ONNX Runtime, each compared with the reference."""
