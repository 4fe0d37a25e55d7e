"""What TF32 does to the graphs: why ONNX Runtime's TensorRT is refused where it is on."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.shape_inference import infer_shapes

from sgn_rt.model.contract import Kind, Precision
from sgn_rt.model.stages import Stage, limit_for

PRODUCTS = ("MatMul", "Gemm", "Conv", "ConvTranspose")
SPLITTER = 2.0**13 + 1
"""(x s) - ((x s) - x) is x rounded to 24 - 13 bits, those of TF32 (Dekker)."""


def in_tf32(graph: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """The graph with what goes into its float32 products rounded to TF32, and how many they are."""
    made = infer_shapes(graph)
    known = (*made.graph.value_info, *made.graph.input, *made.graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in known}
    types |= {each.name: each.data_type for each in made.graph.initializer}
    splitter = numpy_helper.from_array(np.float32(SPLITTER), "splitter")
    made.graph.initializer.append(splitter)
    nodes, products = [], 0
    for node in made.graph.node:
        if node.op_type in PRODUCTS and types[node.input[0]] == TensorProto.FLOAT:
            products += 1
            for side in range(2):
                name = node.input[side]
                large, low, rounded = (f"{name} {products} {step}" for step in ("s", "l", "tf32"))
                nodes += [
                    helper.make_node("Mul", [name, "splitter"], [large]),
                    helper.make_node("Sub", [large, name], [low]),
                    helper.make_node("Sub", [large, low], [rounded]),
                ]
                node.input[side] = rounded
        nodes.append(node)
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made, products


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
@torch.inference_mode()
def test_no_graph_from_the_mixture_bears_tf32(
    instruments, published, run, golden, si_sdr, precision
):
    chosen, mixture = torch.tensor([10, 4]), torch.from_numpy(golden["mixture"])
    expected = instruments(mixture, chosen).sources.numpy()
    graph, products = in_tf32(published(Kind.WAVEFORM, precision))
    assert products > 10  # both transforms, grouping and heads
    sources, *_ = run(graph, mixture, chosen)
    limit = limit_for(Stage.WHOLE, precision, instruments.config.log_epsilon)
    assert not limit.holds(float(si_sdr(expected, sources).min()))  # [44 dB of 48 and of 90]
