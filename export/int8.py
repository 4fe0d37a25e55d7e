"""Graphs in int8: calibrated on music, quantised, and with a record of how."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from sgn_rt.export.calibration import (
    LAYER_LIMIT,
    Calibration,
    Feed,
    Material,
    Tell,
    calibrate,
)
from sgn_rt.export.float32 import widened
from sgn_rt.export.graphs import build_graph
from sgn_rt.export.pair import joined
from sgn_rt.export.quantize import SCHEMES, Scheme, quantized
from sgn_rt.export.standard import standard_copy
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import GraphKey, Kind, PluginOp, Precision, Tensor, partner
from sgn_rt.model.transform import Transform
from sgn_rt.reference import Sgn


def build_int8(
    model: Sgn, kind: Kind, material: Material, tell: Tell, *, assignment: bool = False
) -> tuple[ModelProto, dict[str, Any]]:
    """Export a network in int8.

    Parameters
    ----------
    model
        The reference, float32.
    kind
        One of `sgn_rt.export.quantize.SCHEMES`.
    material
        What to calibrate on.
    tell
        Told what is being done.
    assignment
        As `sgn_rt.export.graphs.build_graph`.

    Returns
    -------
    graph : onnx.ModelProto
        As `sgn_rt.export.graphs.build_graph`; with the record in its metadata.
    record : dict
        How it was calibrated, and which layers are in int8.
    """
    body = build_graph(model, kind, Precision.INT8, assignment=assignment)
    scheme = SCHEMES[kind]
    whole, masks = _up_to_masks(model, kind, body)
    calibration = calibrate(whole, masks, _feeds(kind, material, model.config), scheme, tell)
    graph = quantized(body, calibration.layers, calibration.ranges, scheme)
    record = _record(material, calibration, scheme)
    graph.metadata_props.add(key=GraphKey.QUANTIZATION, value=json.dumps(record))
    return graph, record


def _up_to_masks(model: Sgn, kind: Kind, body: ModelProto) -> tuple[ModelProto, str]:
    """The pair of a network in float32 and standard operators, and the name of its masks."""
    second = partner(kind, Precision.INT8)
    assert second is not None, "a network that exists in int8 is half of a pair"
    first = ModelProto()
    first.CopyFrom(body)  # which joining changes
    pair = widened(joined(first, build_graph(model, *second)), {})
    last = next((node for node in pair.graph.node if node.op_type == PluginOp.ISTFT), None)
    if last is None:
        return pair, str(Tensor.MASKS)
    masks: str = last.input[1]
    plane = (model.config.frequency_bins, model.config.frames)
    pair.graph.node.remove(last)
    del pair.graph.output[:]
    pair.graph.output.append(
        helper.make_tensor_value_info(masks, TensorProto.FLOAT, ["batch", "sources", *plane])
    )
    return standard_copy(pair, model.config), masks


def _feeds(kind: Kind, material: Material, config: ModelConfig) -> list[Feed]:
    """Windows as inputs of a graph; all categories."""
    if kind == Kind.CORE:
        transform = Transform(config)
        spectra = [transform.stft(window) for window in material.windows]
        return [
            {str(Tensor.LOG_MAGNITUDE): transform.log_magnitude(spectrum)[None]}
            for spectrum in spectra
        ]
    categories = np.arange(len(config.categories))
    return [
        {str(Tensor.MIXTURE): window[None], str(Tensor.CATEGORIES): categories}
        for window in material.windows
    ]


def _record(material: Material, calibration: Calibration, scheme: Scheme) -> dict[str, Any]:
    """As JSON types."""
    moved = {layer: float(f"{value:.3g}") for layer, value in calibration.moved.items()}
    return {
        "activations": np.dtype(scheme.dtype).name,
        "weights": "int8, a scale for each channel",
        "ranges": "least and largest",
        "files": [dict(file) for file in material.files],
        "windows": len(material.windows),
        "limit": LAYER_LIMIT,
        "int8": {layer: moved[layer] for layer in calibration.layers},
        "kept": {layer: moved[layer] for layer in moved if layer not in calibration.layers},
    }
