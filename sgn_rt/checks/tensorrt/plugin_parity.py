"""The plugins alone in an engine, compared with the transforms of SciPy and PyTorch.

Building is run without a GPU by the tests; running was not yet done on one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from sgn_rt._optional import require
from sgn_rt._types import Float
from sgn_rt.errors import EngineError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import (
    PLUGIN_ATTRIBUTES,
    PLUGIN_NAMESPACE,
    PLUGIN_VERSION,
    PluginOp,
    Precision,
)
from sgn_rt.model.plugin_part import plugins_part
from sgn_rt.model.transform import Transform
from sgn_rt.tensorrt.bindings import TensorRT, load_plugins
from sgn_rt.tensorrt.build.builder import set_targets
from sgn_rt.tensorrt.build.callbacks import Log, make_logger
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.run.run_once import run_once

LEAST_DB: Final = {Precision.FP32: 100.0, Precision.FP16: 60.0}
"""Of spectrum, network input and sources against float32 FFTs of another library: these agree to
about 120 dB; in half precision the network's input and masks are rounded to 11 bits."""

MIXTURE, MASKS = "mixture", "masks"
SPECTRUM, LOG_MAGNITUDE, SOURCES = "spectrum", "log_magnitude", "sources"


def build_probe(
    trt: TensorRT, config: ModelConfig, precision: Precision, library: Path, gpu: str
) -> bytes:
    """An engine of Stft and Istft with the masks as an input, for one window.

    Raises
    ------
    EngineError
        If TensorRT refuses the plugins or fails.
    """
    module, log = trt.module, Log()
    logger = make_logger(module, log)
    try:
        builder = module.Builder(logger)
    except (TypeError, RuntimeError) as error:
        raise _failed(f"no builder ({error})", log) from error
    registry = builder.get_plugin_registry()
    load_plugins(trt, registry, library)
    network = builder.create_network(1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = module.OnnxParser(network, logger)
    if not parser.parse(probe_graph(config, precision)):
        reasons = [str(parser.get_error(i).desc()) for i in range(parser.num_errors)]
        raise _failed(f"a graph that does not parse: {' / '.join(reasons)}", log)
    settings = builder.create_builder_config()
    if trt.is_rtx:
        set_targets(trt, settings, (gpu,))
    plan = builder.build_serialized_network(network, settings)
    if plan is None:
        raise _failed("no engine", log)
    return bytes(plan)


def probe_graph(config: ModelConfig, precision: Precision) -> bytes:
    """Mixture and masks to spectrum, network input and sources, through both plugins, as ONNX."""
    config = plugins_part(config)
    onnx: Any = require("onnx", extra="export", purpose="the check of the plugins")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    kind = onnx.TensorProto.FLOAT16 if precision == Precision.FP16 else float32
    values = {
        "n_fft": config.n_fft,
        "hop_length": config.hop_length,
        "window_length": config.n_fft,
        "frequency_bins": config.frequency_bins,
        "log_epsilon": config.log_epsilon,
        "dtype": kind,
        "samples": config.window_samples,
    }
    nodes = [
        helper.make_node(
            str(op), inputs, outputs, name=str(op).lower(), domain=PLUGIN_NAMESPACE,
            plugin_version=PLUGIN_VERSION, plugin_namespace=PLUGIN_NAMESPACE,
            **{name: values[name] for name in PLUGIN_ATTRIBUTES[op]},
        )
        for op, inputs, outputs in (
            (PluginOp.STFT, [MIXTURE], [SPECTRUM, LOG_MAGNITUDE]),
            (PluginOp.ISTFT, [SPECTRUM, MASKS], [SOURCES]),
        )
    ]  # fmt: skip
    plane = (config.frequency_bins, config.frames)
    spectrum = (1, config.frames, config.bins, 2)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "plugins",
        [value(MIXTURE, float32, (1, config.window_samples)), value(MASKS, kind, (1, 1, *plane))],
        [
            value(SPECTRUM, float32, spectrum),
            value(LOG_MAGNITUDE, kind, (1, 1, *plane)),
            value(SOURCES, float32, (1, 1, config.window_samples)),
        ],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(PLUGIN_NAMESPACE, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def compare_probe(
    trt: TensorRT,
    device: Device,
    config: ModelConfig,
    precision: Precision,
    library: Path,
    mixture: Float,
) -> dict[str, float]:
    """Ratios of signal to difference, dB, of spectrum, network input and sources.

    Parameters
    ----------
    mixture
        shape = (1, N), float32.

    Raises
    ------
    EngineError
        If one is below `LEAST_DB`, or the device fails.
    """
    config = plugins_part(config)
    dtype = np.float16 if precision == Precision.FP16 else np.float32
    plane = (config.frequency_bins, config.frames)
    masks = np.random.default_rng(1).random((1, 1, *plane)).astype(dtype)
    content = build_probe(trt, config, precision, library, device.capability)
    found = run_once(trt, device, content, library, {MIXTURE: mixture, MASKS: masks})
    transform = Transform(config)
    spectrum = transform.stft(mixture[0])
    # The logarithm is compared from the plugin's own spectrum: near silence its slope is 1e5.
    own = np.ascontiguousarray(found[SPECTRUM][0]).view(np.complex64)[..., 0].T
    pairs = {
        "spectrum_db": (own, spectrum),
        "log_magnitude_db": (found[LOG_MAGNITUDE][0], transform.log_magnitude(own)),
        "sources_db": (
            found[SOURCES][0, 0],
            transform.synthesize(spectrum, masks[0, 0].astype("f4")),
        ),
    }
    torch_spectrum = _torch_stft(config, mixture[0])
    if torch_spectrum is not None:
        pairs["spectrum_against_torch_db"] = (own, torch_spectrum)
    ratios = {name: _decibels(got, expected) for name, (got, expected) in pairs.items()}
    low = {name: ratio for name, ratio in ratios.items() if not ratio >= LEAST_DB[precision]}
    if low:
        raise EngineError(
            f"plugins in {precision}: got {low}, expected at least {LEAST_DB[precision]} dB each. "
            "Please report this."
        )
    return ratios


def _torch_stft(config: ModelConfig, mixture: Float) -> Any | None:
    try:
        import torch
    except ImportError:
        return None
    window = torch.hann_window(config.n_fft, dtype=torch.float64)
    signal = torch.from_numpy(mixture.astype(np.float64))
    spectrum = torch.stft(
        signal, config.n_fft, config.hop_length, window=window, return_complex=True
    )
    return spectrum.numpy()[:, : config.frames]


def _decibels(got: Any, expected: Any) -> float:
    difference = np.abs(np.asarray(got, np.complex128) - expected)
    power = float(np.sum(np.abs(np.asarray(expected, np.complex128)) ** 2))
    return float(10.0 * np.log10(power / max(float(np.sum(difference**2)), 1e-300)))


def _failed(what: str, log: Log) -> EngineError:
    return EngineError(
        f"plugin probe: got {what} ({log.reason}), expected an engine of both plugins that runs. "
        "Build the plugin library again, and report this."
    )
