"""The layers of a TensorRT engine, for `sgn_rt.export.layerwise`. Not yet run on a GPU.

The engine is built anew, from the same graph with every layer as an output. That takes apart what
TensorRT fuses: where every layer holds and the engine in the bundle does not, a fused kernel is to
blame.
"""

from __future__ import annotations

from sgn_rt.bundle import Artifact, Bundle
from sgn_rt.device.protocol import Device
from sgn_rt.export.layerwise import Run, layers_of, load_graph, with_outputs
from sgn_rt.tensorrt.builder import BuildOptions, build_engine
from sgn_rt.tensorrt.callbacks import Progress, ignore
from sgn_rt.tensorrt.flavor import TensorRT
from sgn_rt.tensorrt.once import run_once
from sgn_rt.tensorrt.plan import choose_gpus
from sgn_rt.tensorrt.plugins import has_plugins, plugin_library


def build_with_layers(
    trt: TensorRT, bundle: Bundle, artifact: Artifact, gpu: str, progress: Progress = ignore
) -> bytes:
    """An engine for one window at a time whose outputs are its layers.

    Raises
    ------
    EngineError, PluginError
        As `sgn_rt.tensorrt.builder.build_engine`; or if the plugin library is not built.
    """
    graph = load_graph(bundle, artifact)
    most = bundle.probe.categories.shape[1]
    options = BuildOptions(gpus=(gpu,), max_batch=1, max_sources=most)
    plugins = plugin_library().path if has_plugins(artifact.kind) else None
    content = with_outputs(graph, layers_of(graph))
    built = build_engine(trt, bundle, artifact, options, plugins, progress, graph=content)
    return built.content


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
    content = build_with_layers(trt, bundle, artifact, gpu, progress)
    library = plugin_library().path if has_plugins(artifact.kind) else None
    return lambda feed: run_once(trt, device, content, library, feed)
