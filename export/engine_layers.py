"""The layers of a TensorRT engine, for `sgn_rt.export.layerwise`. Not yet run on a GPU.

The engine is built anew, from the same graph with every layer as an output. That takes apart what
TensorRT fuses: where every layer holds and the engine in the bundle does not, a fused kernel is to
blame.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sgn_rt.errors import ParityError
from sgn_rt.export.layer_result import first_departure
from sgn_rt.export.layerwise import compare_layers, layers_of, with_outputs
from sgn_rt.export.operators import Run
from sgn_rt.export.pair import load_graph
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import FLOATS
from sgn_rt.tensorrt.bindings import TensorRT
from sgn_rt.tensorrt.build.build_engines import BuildRequest, choose_artifacts, choose_gpus
from sgn_rt.tensorrt.build.builder import Built, build_engine
from sgn_rt.tensorrt.build.callbacks import Progress, ignore
from sgn_rt.tensorrt.build.options import BuildOptions
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.plugins.library import has_plugins, plugin_library
from sgn_rt.tensorrt.run.run_once import run_once


def build_with_layers(
    trt: TensorRT, bundle: Bundle, artifact: Artifact, gpu: str, progress: Progress = ignore
) -> Built:
    """An engine for one window at a time whose outputs are its layers.

    Raises
    ------
    EngineError, PluginError
        As `sgn_rt.tensorrt.build.builder.build_engine`; or if the plugin library is not built.
    """
    graph = load_graph(bundle, artifact)
    plugins = _plugins(artifact)
    most = bundle.probe.categories.shape[1]
    options = BuildOptions(gpus=(gpu,), max_batch=1, max_sources=most)
    content = with_outputs(graph, layers_of(graph))
    return build_engine(trt, bundle, artifact, options, plugins, progress, graph=content)


def engine_layers(
    trt: TensorRT, device: Device, bundle: Bundle, artifact: Artifact, progress: Progress = ignore
) -> Run:
    """A function that gives an engine's layers on the GPU that is here.

    Raises
    ------
    EngineError, PluginError
        As `build_with_layers`.
    """
    (gpu,) = choose_gpus(trt, (), device)
    content = build_with_layers(trt, bundle, artifact, gpu, progress).content
    library = _plugins(artifact)
    return lambda feed: run_once(trt, device, content, library, feed)


def _plugins(artifact: Artifact) -> Path | None:
    return plugin_library().path if has_plugins(artifact.kind) else None


def check_layers(bundle: Bundle, trt: TensorRT, device: Device) -> Mapping[str, Any]:
    """Every layer of both precisions' engines on the GPU; a figure of each."""
    figures = {}
    request = BuildRequest(precisions=FLOATS)
    for artifact in choose_artifacts(bundle, request):
        run = engine_layers(trt, device, bundle, artifact)
        results = compare_layers(bundle, artifact, run)
        departed = first_departure(results)
        if departed is not None:
            raise ParityError(
                f"{artifact.name}: got {departed} as the first layer to depart from the "
                "checkpoint, expected every layer to hold. Please report this."
            )
        figures[artifact.name] = f"{len(results)} layers, {min(results, key=lambda r: r.snr)}"
    return figures
