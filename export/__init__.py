"""Export: from a checkpoint to graphs and bundles. The runtime never imports this."""

from sgn_rt._optional import require

for _module in ("torch", "onnx", "onnx_ir"):
    require(_module, extra="export", purpose="The export")
