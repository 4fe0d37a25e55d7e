"""What int8 is chosen by: the range of every value on music, and which layers stay as they are.

Ranges are the least and the largest number that the float32 network shows on the music's windows: a
percentile, or the least mean square, would cut off what quiet music lives of (loss of SI-SDR on the
music that ships, published network: 0.15 dB in the place of 0.03).

Each layer is then quantised alone. One that moves masks by more than `LAYER_LIMIT` hurts, and stays
in the precision of the graph's body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from onnx import ModelProto, ValueInfoProto

from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import read_mono, shipped_mixtures
from sgn_rt.export.quantize import Ranges, Scheme, layers_of, quantized, values_of
from sgn_rt.model.config import ModelConfig

LAYER_LIMIT: Final = 0.01
"""Largest difference of the masks (99.9th percentile) by one layer alone. In the published network
the first four convolutions are at 0.45 to 0.02 and the last at 0.012, all others below 0.009."""
MOST_WINDOWS: Final = 64
"""Of which ranges are taken, spread over the music."""
LAYER_WINDOWS: Final = 4
"""Of those, on which layers are tried one by one."""

Feed = Mapping[str, np.ndarray]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Windows to calibrate on.

    Attributes
    ----------
    windows
        shape = (W, N), float32, full scale 1, at the model's rate.
    files
        Name and SHA-256 of each file that they are from.
    """

    windows: Float
    files: tuple[Mapping[str, str], ...]


def calibration_material(files: Sequence[str | Path], config: ModelConfig) -> Material:
    """Windows of recordings, each beginning half a window behind the one before.

    Parameters
    ----------
    files
        Recordings, channels averaged; none for the mixtures that ship with the package.
    config
        Of the model: rate and window.

    Raises
    ------
    AudioError
        If a file does not read.
    """
    paths = [Path(file) for file in files] or shipped_mixtures()
    size = config.window_samples
    windows, records = [], []
    for path in paths:
        signal = read_mono(path, config.sample_rate)
        padded = np.pad(signal, (0, max(0, size - len(signal))))
        starts = range(0, len(padded) - size + 1, max(1, size // 2))
        windows += [padded[start : start + size] for start in starts]
        records.append({"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    return Material(windows=np.stack(_spread(windows, MOST_WINDOWS)), files=tuple(records))


def _spread(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many items, evenly from first to last."""
    count = min(most, len(items))
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How a graph is to be quantised.

    Attributes
    ----------
    ranges
        Of `sgn_rt.export.quantize.values_of`.
    moved
        By how much each layer alone moves the masks.
    """

    ranges: Ranges
    moved: Mapping[str, float]

    @property
    def layers(self) -> list[str]:
        """Those to quantise."""
        return [layer for layer, moved in self.moved.items() if moved <= LAYER_LIMIT]


def calibrate(
    graph: ModelProto, masks: str, feeds: Sequence[Feed], scheme: Scheme, tell: Tell
) -> Calibration:
    """Find ranges, and which layers hurt.

    Parameters
    ----------
    graph
        Float32, in standard operators.
    masks
        Its value that is the masks.
    feeds
        Inputs, a window each.
    scheme
        Of the activations.
    tell
        Told what is being done.

    Returns
    -------
    Calibration
        The same for the same graph and windows on the same machine.
    """
    ranges = _ranges(graph, feeds)
    few = _spread(feeds, LAYER_WINDOWS)
    right = _masks(graph, masks, few)
    moved = {}
    layers = list(layers_of(graph))
    for number, layer in enumerate(layers, start=1):
        tell(f"quantising layer {number} of {len(layers)} alone: {layer}")
        given = _masks(quantized(graph, [layer], ranges, scheme), masks, few)
        # Masks that are not finite are as wrong as they can be.
        difference = np.nan_to_num(np.abs(given - right), nan=1.0)
        moved[layer] = float(np.quantile(difference, 0.999))
    return Calibration(ranges=ranges, moved=moved)


def _ranges(graph: ModelProto, feeds: Sequence[Feed]) -> Ranges:
    names = values_of(graph)
    session = _session(graph, names)
    low = dict.fromkeys(names, np.inf)
    high = dict.fromkeys(names, -np.inf)
    for feed in feeds:
        for name, value in zip(names, session.run(names, feed), strict=True):
            low[name] = min(low[name], float(value.min()))
            high[name] = max(high[name], float(value.max()))
    return {name: (low[name], high[name]) for name in names}


def _masks(graph: ModelProto, name: str, feeds: Sequence[Feed]) -> np.ndarray:
    session = _session(graph, [name])
    return np.stack([session.run([name], feed)[0] for feed in feeds])


def _session(graph: ModelProto, names: Sequence[str]) -> onnxruntime.InferenceSession:
    marked = ModelProto()
    marked.CopyFrom(graph)
    given = {value.name for value in marked.graph.output}
    marked.graph.output.extend(ValueInfoProto(name=name) for name in names if name not in given)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # sums in one order, so that two exports are the same
    return onnxruntime.InferenceSession(
        marked.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
