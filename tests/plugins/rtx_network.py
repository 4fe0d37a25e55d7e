"""Builds a network's engines with TensorRT for RTX and lists their layers; for test_rtx_network.py.

An engine is opened on a GPU only. What it consists of is known without one: a build that keeps all
details tells its logger every layer.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rtx_build import load_stub

LAYER = re.compile(r"^Name: (?P<name>[^,]*), LayerType: (?P<type>[^,]*), ", re.MULTILINE)
ONLY_MOVES = re.compile(r"__myl_(Cast|Move|Resh|Tran|Slic|Repl|Conc)+_myl")


def summary(told: str) -> dict:
    """What an engine consists of: kernels by type, and those that stand for a thing to watch."""
    layers = [match.groupdict() for match in LAYER.finditer(told)]
    # Shape arithmetic on the host is no kernel.
    kernels = [layer for layer in layers if layer["type"] != "shape_call"]
    names = [layer["name"] for layer in kernels]
    moves = [name for name in names if ONLY_MOVES.match(name)]
    return {
        "kernels": len(kernels),
        "types": dict(sorted(Counter(layer["type"] for layer in kernels).items())),
        "plugins": [x["name"].partition("_myl")[0] for x in kernels if x["type"] == "custom_layer"],
        "attention": sum("mha" in name for name in names),
        "only_moves": len(moves),
        "only_casts": sum("Cast" in name for name in moves),
    }


def build(library: str, graph: str, capabilities: list[str]) -> dict:
    import tensorrt_rtx as trt

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []
            self.problems: list[str] = []

        def log(self, severity: trt.ILogger.Severity, message: str) -> None:
            self.lines.append(message)
            if severity <= trt.ILogger.WARNING:
                self.problems.append(message)

    logger = Logger()
    builder = trt.Builder(logger)
    if builder.get_plugin_registry().load_library(library) is None:
        return {"failed": "load_library", "problems": logger.problems}
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(Path(graph).read_bytes()):
        errors = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        return {"failed": "parse", "problems": errors}
    result: dict = {
        "version": trt.__version__,
        "parsed": Counter(network.get_layer(i).type.name for i in range(network.num_layers)),
        "engines": {},
    }
    samples = network.get_input(0).shape[1]
    profile = builder.create_optimization_profile()
    profile.set_shape("mixture", (1, samples), (4, samples), (16, samples))
    profile.set_shape("categories", (1,), (3,), (11,))
    for capability in capabilities:
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
        config.add_optimization_profile(profile)
        logger.lines.clear()
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            return {"failed": "build", "problems": logger.problems}
        result["engines"][capability] = summary("\n".join(logger.lines))
    return result | {"problems": logger.problems}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        load_stub(folder)
        print("RESULT " + json.dumps(build(**json.loads(sys.argv[1]))), flush=True)
