"""Graphs of the published network, exported once for all tests, and small ones on demand."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from sgn_rt.export.calibration import calibration_material
from sgn_rt.export.graphs import OPSET, build_graph
from sgn_rt.export.int8 import build_int8
from sgn_rt.export.writer import export_bundle
from sgn_rt.model.bundle import embedded
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import BUNDLE_MANIFEST, Kind, Precision, Tensor
from sgn_rt.model.manifest import DIGEST_KEY, digest_of
from sgn_rt.reference import random_model, save_checkpoint

PAIR = (Kind.CORE, Kind.MASKS)


@pytest.fixture(scope="session")
def published(instruments) -> Callable[[Kind, Precision], onnx.ModelProto]:
    """Graph of the published network."""
    return cache(lambda kind, precision: build_graph(instruments, kind, precision))


@pytest.fixture(scope="session")
def small(small_config):
    """Random network and graph of a small configuration, by its changes."""

    @cache
    def network(changes):
        return random_model(small_config(**dict(changes)), seed=7)

    @cache
    def graph(kind, precision, changes):
        return build_graph(network(changes), kind, precision)

    def make(kind=Kind.CORE, precision=Precision.FP32, **changes):
        key = tuple(changes.items())
        return network(key), graph(kind, precision, key)

    return make


@pytest.fixture(scope="session")
def published_pair(published):
    """Graphs ``core`` and ``masks`` of the published network."""
    return lambda precision: tuple(published(kind, precision) for kind in PAIR)


@pytest.fixture(scope="session")
def small_pair(small):
    """As `small`, with both graphs of the pair."""

    def make(precision=Precision.FP32, **changes):
        (model, core), (_, masks) = (small(kind, precision, **changes) for kind in PAIR)
        return model, (core, masks)

    return make


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory, small_config) -> Path:
    """Of a small model with random weights."""
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    config = small_config()
    save_checkpoint(random_model(config, seed=1), config, path)
    return path


@pytest.fixture(scope="session")
def small_bundle(small_checkpoint, tmp_path_factory) -> Path:
    """Every graph of that model, proved."""
    folder = tmp_path_factory.mktemp("bundle") / "small"
    export_bundle(small_checkpoint, folder, licence="CC0-1.0")
    return folder


@pytest.fixture(scope="session")
def published_int8(instruments, tmp_path_factory) -> Path:
    """The bundle that ships, with its core in int8 beside the float32 one; not proved."""
    graph, record = build_int8(
        instruments, Kind.CORE, calibration_material((), instruments.config), lambda line: None
    )
    folder = shutil.copytree(embedded(), tmp_path_factory.mktemp("published") / "int8")
    content = graph.SerializeToString(deterministic=True)
    (folder / "core.int8.onnx").write_bytes(content)
    manifest = json.loads((folder / BUNDLE_MANIFEST).read_text())
    manifest["files"]["core.int8.onnx"] = {
        "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content),
    }  # fmt: skip
    manifest["artifacts"].append(
        {"path": "core.int8.onnx", "kind": Kind.CORE, "precision": Precision.INT8, "opset": OPSET,
         "external": [], "parity": {}, "quantization": record}
    )  # fmt: skip
    manifest[DIGEST_KEY] = digest_of(manifest)
    (folder / BUNDLE_MANIFEST).write_text(json.dumps(manifest))
    return folder


def _session(graph: onnx.ModelProto | str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = graph if isinstance(graph, str) else graph.SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="session")
def run():
    """Run a graph (or its path) in ONNX Runtime: (graph, signal, categories) to outputs.

    The graph is one from mixture to sources, or a pair of core and masks. Outputs are sources or
    masks, presence, embedding.
    """
    sessions = {}

    def session(graph):
        key = graph if isinstance(graph, str) else id(graph)
        if key not in sessions:
            sessions[key] = graph, _session(graph)  # holding the graph keeps its id its own
        return sessions[key][1]

    def run(graph, signal, categories):
        signal, categories = np.asarray(signal, np.float32), np.asarray(categories, np.int64)
        if not isinstance(graph, tuple):
            feed = {Tensor.MIXTURE.value: signal, Tensor.CATEGORIES.value: categories}
            return session(graph).run(None, feed)
        core, masks = map(session, graph)
        presence, embedding, guide, basis = core.run(None, {Tensor.LOG_MAGNITUDE.value: signal})
        feed = {Tensor.BASIS.value: basis, Tensor.GUIDE.value: guide[:, categories]}
        return [*masks.run(None, feed), presence, embedding]

    return run


@pytest.fixture(scope="session")
def windows():
    """Three windows of a mixture that is no noise: decaying tones, clicks and a quiet stretch."""

    def make(config: ModelConfig) -> torch.Tensor:
        generator = torch.Generator().manual_seed(11)
        t = torch.arange(config.window_samples) / config.sample_rate
        rows = []
        for row in range(3):
            pitch = 110.0 * 2 ** torch.rand(8, 1, generator=generator).mul(4)
            start = torch.rand(8, 1, generator=generator) * t[-1]
            age = (t - start).clamp(min=0)
            tones = (torch.sin(2 * torch.pi * pitch * age) * torch.exp(-6 * age)).sum(0)
            noise = torch.randn(len(t), generator=generator)
            rows.append(0.1 * tones + 10.0 ** (-2 - row) * noise)
        return torch.stack(rows)

    return make
