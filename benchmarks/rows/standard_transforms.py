"""The plain export with both transforms in the graph, in the operators that ONNX has for them.

The way forward is ONNX's ``STFT``, or ``DFT`` of frames. For the way back there is no operator:
either an inverse ``DFT`` of the whole spectrum and ``Col2Im`` to overlap and add, or one transposed
convolution with the windowed basis, for runtimes that have neither of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from sgn_rt.benchmarks.rows.plain import LOG_MAGNITUDE, MASKS, PRESENCE
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.transform import hann, log_unwarp_matrix, log_warp_matrix

Forward = Literal["STFT", "DFT"]
Back = Literal["DFT", "ConvTranspose"]

MIXTURE: Final = "mixture"
CATEGORIES: Final = "categories"
SOURCES: Final = "sources"
"""Of the graph, with `PRESENCE`: a window [1, N], positions [S], sources [1, S, N]."""
_DFT_TAKES_AXIS: Final = 20
"""Operator set from which the axis is an input of ``DFT``, no attribute."""
_FRAMES_OF_ALL: Final = "spectrum"


def with_transforms(plain: Any, config: ModelConfig, forward: Forward, back: Back) -> Any:
    """The graph from mixture to sources.

    Parameters
    ----------
    plain
        The plain export, an ``onnx.ModelProto``; it is changed.
    config
        The model's.
    forward, back
        Operators.
    """
    from onnx import TensorProto, checker, helper

    opset = next(each.version for each in plain.opset_import if not each.domain)
    nodes = _Nodes(opset)
    _forward(nodes, config, forward)
    nodes.nodes += plain.graph.node
    _back(nodes, config, back)
    types = (TensorProto.FLOAT, TensorProto.INT64)
    count = len(config.categories)
    graph = helper.make_graph(
        nodes.nodes, "standard-transforms",
        [
            helper.make_tensor_value_info(MIXTURE, types[0], [1, config.window_samples]),
            helper.make_tensor_value_info(CATEGORIES, types[1], ["chosen"]),
        ],
        [
            helper.make_tensor_value_info(SOURCES, types[0], [1, "chosen", config.window_samples]),
            helper.make_tensor_value_info(PRESENCE, types[0], [1, count]),
        ],
        [*plain.graph.initializer, *nodes.constants],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=plain.opset_import, ir_version=plain.ir_version)
    checker.check_model(model)
    return model


class _Nodes:
    """Nodes and constants in the order in which they are made; names are made up."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, dtype: type = np.int64) -> str:
        from onnx import numpy_helper

        name = f"transform_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def __call__(
        self, operator: str, inputs: Sequence[str], output: str | None = None, **attributes: Any
    ) -> str:
        from onnx import helper

        name = output or f"transform_{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def dft(self, x: str, *, axis: int, inverse: int = 0, onesided: int = 0) -> str:
        flags: dict[str, Any] = {"inverse": inverse, "onesided": onesided}
        if self.opset < _DFT_TAKES_AXIS:
            return self("DFT", [x], axis=axis, **flags)
        return self("DFT", [x, "", self.constant(axis)], **flags)


def _forward(nodes: _Nodes, config: ModelConfig, operator: Forward) -> None:
    """Spectrum [1, T, F, 2], kept for the way back, and log-magnitude [1, 1, L, T]."""
    pad, window = config.n_fft // 2, nodes.constant(hann(config.n_fft), np.float32)
    padded = nodes("Pad", [MIXTURE, nodes.constant([0, pad, 0, pad])], mode="reflect")
    if operator == "STFT":
        signal = nodes("Unsqueeze", [padded, nodes.constant([-1])])
        spectrum = nodes(
            "STFT", [signal, nodes.constant(config.hop_length), window], _FRAMES_OF_ALL, onesided=1
        )
    else:
        places = np.arange(config.frames)[:, None] * config.hop_length + np.arange(config.n_fft)
        frames = nodes("Gather", [padded, nodes.constant(places)], axis=1)
        windowed = nodes("Mul", [frames, window])
        whole = nodes.dft(nodes("Unsqueeze", [windowed, nodes.constant([-1])]), axis=2, onesided=1)
        spectrum = nodes("Identity", [whole], _FRAMES_OF_ALL)
    magnitude = nodes("ReduceL2", [spectrum, nodes.constant([-1])], keepdims=0)
    warp = nodes.constant(log_warp_matrix(config.bins, config.frequency_bins).T, np.float32)
    warped = nodes("MatMul", [magnitude, warp])
    shifted = nodes("Add", [warped, nodes.constant(config.log_epsilon, np.float32)])
    turned = nodes("Transpose", [nodes("Log", [shifted])], perm=[0, 2, 1])
    nodes("Unsqueeze", [turned, nodes.constant([1])], LOG_MAGNITUDE)


def _back(nodes: _Nodes, config: ModelConfig, operator: Back) -> None:
    """Sources [1, S, N] of the spectrum and the masks of all categories."""
    masks = nodes("Gather", [MASKS, CATEGORIES], axis=1)
    turned = nodes("Transpose", [masks], perm=[1, 0, 3, 2])  # [S, 1, T, L]
    unwarp = nodes.constant(log_unwarp_matrix(config.bins, config.frequency_bins).T, np.float32)
    linear = nodes("MatMul", [turned, unwarp])
    factor = nodes("Unsqueeze", [nodes("Squeeze", [linear, nodes.constant([1])]),
                                 nodes.constant([-1])])  # fmt: skip
    masked = nodes("Mul", [factor, _FRAMES_OF_ALL])  # [S, T, F, 2]
    summed = _overlapped(nodes, config, masked, operator)  # [S, 1, samples]
    pad = config.n_fft // 2
    ends = [nodes.constant([value]) for value in (pad, pad + config.window_samples, -1)]
    scaled = nodes("Mul", [summed, nodes.constant(_scale(config), np.float32)])
    cut = nodes("Slice", [scaled, *ends])
    nodes("Transpose", [cut], SOURCES, perm=[1, 0, 2])


def _overlapped(nodes: _Nodes, config: ModelConfig, masked: str, operator: Back) -> str:
    if operator == "ConvTranspose":
        frames = [0, config.frames, 2 * config.bins]
        columns = nodes(
            "Transpose", [nodes("Reshape", [masked, nodes.constant(frames)], allowzero=0)],
            perm=[0, 2, 1],
        )  # fmt: skip
        basis = nodes.constant(_windowed_basis(config)[:, None], np.float32)
        return nodes("ConvTranspose", [columns, basis], strides=[config.hop_length])
    mirrored = nodes("Gather", [masked, nodes.constant(np.arange(config.bins - 2, 0, -1))], axis=2)
    conjugate = nodes("Mul", [mirrored, nodes.constant([1.0, -1.0], np.float32)])
    frames_of = nodes.dft(nodes("Concat", [masked, conjugate], axis=2), axis=2, inverse=1)
    real = nodes("Gather", [frames_of, nodes.constant(0)], axis=3)  # [S, T, n_fft]
    windowed = nodes("Mul", [real, nodes.constant(hann(config.n_fft), np.float32)])
    columns = nodes("Transpose", [windowed], perm=[0, 2, 1])
    image = nodes(
        "Col2Im",
        [columns, nodes.constant([1, _samples(config)]), nodes.constant([1, config.n_fft])],
        strides=[1, config.hop_length],
    )
    return nodes("Squeeze", [image, nodes.constant([1])])


def _samples(config: ModelConfig) -> int:
    """What the frames cover, padding included."""
    return (config.frames - 1) * config.hop_length + config.n_fft


def _scale(config: ModelConfig) -> NDArray[np.float64]:
    """Reciprocal of the summed squared window, shape = (samples,)."""
    total = np.zeros(_samples(config))
    for frame in range(config.frames):
        start = frame * config.hop_length
        total[start : start + config.n_fft] += hann(config.n_fft) ** 2
    return 1.0 / np.where(total > 1e-11, total, 1.0)


def _windowed_basis(config: ModelConfig) -> NDArray[np.float64]:
    """What a frame's real and imaginary parts, bin by bin, stand for, shape = (2 F, n_fft)."""
    angle = 2.0 * np.pi / config.n_fft * np.outer(np.arange(config.bins), np.arange(config.n_fft))
    # Each bin but the first and the last stands for its conjugate, too.
    weight = np.full(config.bins, 2.0)
    weight[[0, -1]] = 1.0
    parts = np.stack([np.cos(angle), -np.sin(angle)], axis=1) * weight[:, None, None]
    basis: NDArray[np.float64] = parts.reshape(-1, config.n_fft) * hann(config.n_fft) / config.n_fft
    return basis
