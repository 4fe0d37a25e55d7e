"""What is read from a graph's bytes is what ONNX's own packages read and compute."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.model.graph_constants import constants_of
from sgn_rt.model.wire import varints

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

VALUE = np.arange(-60, 60, dtype=np.float32).reshape(2, 3, 4, 5) / 7


def model(nodes, **initializers):
    tensors = [numpy_helper.from_array(np.asarray(v), name) for name, v in initializers.items()]
    outputs = [onnx.ValueInfoProto(name=name) for node in nodes for name in node.output]
    graph = helper.make_graph(nodes, "g", [], outputs, initializer=tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def node(operator, *inputs, **attributes):
    return helper.make_node(operator, inputs, ["y"], **attributes)


def whole(*numbers):
    return np.array(numbers, np.int64)


NODES = {
    "cast": (node("Cast", "x", to=TensorProto.FLOAT16), {}),
    "concat": (node("Concat", "x", "x", axis=-1), {}),
    "identity": (node("Identity", "x"), {}),
    "mul": (node("Mul", "x", "s"), {"s": np.float32(3) * np.ones((3, 1, 1), np.float32)}),
    "reshape": (node("Reshape", "x", "s"), {"s": whole(0, -1, 5)}),
    "slice": (
        node("Slice", "x", "a", "b", "c", "d"),
        {"a": whole(3, 1), "b": whole(np.iinfo(np.int64).min, 3), "c": whole(2, -1),
         "d": whole(-2, 1)},
    ),
    "transpose": (node("Transpose", "x", perm=(3, 1, 0, 2)), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_every_operator_gives_what_onnx_says(name):
    made, more = NODES[name]
    graph = model([made], x=VALUE, **more)
    (expected,) = ReferenceEvaluator(graph).run(None, {})
    found = constants_of(graph.SerializeToString(), {})["y"]
    assert found.value.dtype == expected.dtype
    assert np.array_equal(found.value, expected)
    assert found.scale is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("axis", [0, 1])
def test_integers_stand_for_their_steps(dtype, axis):
    integers = np.array([[-127, 3, 90], [5, 0, -1]], np.int8)
    scale = np.linspace(0.01, 0.03, integers.shape[axis]).astype(dtype)
    zero = np.arange(len(scale), dtype=np.int8)
    made = node("DequantizeLinear", "x", "s", "z", axis=axis)
    graph = model([made], x=integers, s=scale, z=zero)
    (expected,) = ReferenceEvaluator(graph).run(None, {})
    found = constants_of(graph.SerializeToString(), {})["y"]
    np.testing.assert_allclose(found.value, expected, rtol=np.finfo(dtype).eps)
    assert found.scale.dtype == dtype
    assert found.scale.shape == ((2, 1), (1, 3))[axis]


def test_what_depends_on_inputs_is_no_constant():
    nodes = [helper.make_node("Mul", ["x", "input"], ["y"]), helper.make_node("Relu", ["x"], ["z"])]
    found = constants_of(model(nodes, x=VALUE).SerializeToString(), {})
    assert list(found) == ["x"]


def test_what_is_no_weight_may_be_of_any_form():
    """A cast to a type that no weight has, a slice without steps: left out, and no error."""
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=TensorProto.BOOL),
        helper.make_node("Slice", ["x", "n", "n"], ["b"]),
        helper.make_node("Identity", ["b"], ["c"]),
    ]
    found = constants_of(model(nodes, x=VALUE, n=whole(0), t=True).SerializeToString(), {})
    assert list(found) == ["x", "n"]


def external(**entries):
    graph = model([], x=VALUE)
    (tensor,) = graph.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return graph.SerializeToString()


def test_tensors_in_another_file():
    files = {"weights": b"1234" + VALUE.tobytes() + b"5"}
    graph = external(location="weights", offset=4, length=VALUE.nbytes)
    assert np.array_equal(constants_of(graph, files)["x"].value, VALUE)
    with pytest.raises(KeyError, match="weights"):
        constants_of(graph, {})


@pytest.mark.parametrize(
    "entries", [{"offset": 4, "length": 8}, {"offset": 10_000}, {"length": -1}, {"offset": "x"}]
)
def test_tensors_that_are_not_all_there(entries):
    with pytest.raises(ValueError, match=r"bytes for|invalid literal"):
        constants_of(external(location="weights", **entries), {"weights": VALUE.tobytes() * 2})


def test_damaged_bytes():
    graph = model([], x=VALUE).SerializeToString()
    with pytest.raises(ValueError, match="a field beyond the end"):
        constants_of(graph[:-9], {})


def test_packed_numbers():
    view = memoryview(b"\x03\x8e\x02\x9e\xa7\x05")  # of protobuf's own documentation
    assert list(varints(view, 0, len(view))) == [3, 270, 86942]
