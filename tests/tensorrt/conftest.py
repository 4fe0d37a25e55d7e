"""Fixtures of engines: fakes of device and TensorRT, sidecars."""

from __future__ import annotations

import gc
import hashlib
import threading
import weakref
from types import SimpleNamespace

import pytest

from sgn_rt._atomic import CACHE_VARIABLE
from sgn_rt.model.bundle import FileRecord
from sgn_rt.model.contract import GRAPH_INPUTS, Kind, Precision
from sgn_rt.model.shapes import shape_of
from sgn_rt.tensorrt.bindings import Flavor, TensorRT
from sgn_rt.tensorrt.build.engine_summary import Figure
from sgn_rt.tensorrt.profiles import Profile
from sgn_rt.tensorrt.run import shared as sharing
from sgn_rt.tensorrt.run.runtime import LoadedEngine, Model
from sgn_rt.tensorrt.sidecar import Sidecar

from .fakes import FakeDevice, FakeTensorRT, HostKernels

CONTENT = b"an engine"
GRAPH = hashlib.sha256(b"a graph").hexdigest()


@pytest.fixture(scope="package", autouse=True)
def _only_new_objects():
    """Has `gc.collect` look at what these tests make alone: all that came before takes long."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _cache_of_its_own(monkeypatch, tmp_path_factory):
    """What tests build and trust is written down in no user's cache."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _engines_of_its_own(monkeypatch):
    """No engine of another test's device is taken for one of this test's."""
    monkeypatch.setattr(sharing, "_loaded", weakref.WeakValueDictionary())


@pytest.fixture
def config(small_config):
    """Windows of 1016 samples, three categories."""
    return small_config(n_fft=32, hop_length=8)


@pytest.fixture
def device():
    return FakeDevice()


@pytest.fixture
def module(device, config):
    return FakeTensorRT(device, config)


@pytest.fixture
def trt(module):
    return TensorRT(flavor=Flavor.TENSORRT, module=module, version=(10, 13, 3, 9))


def profiles(config, kind: Kind, *batches: int, sources: int = 2):
    """For so many windows each, and so many categories."""

    def of(largest: int) -> dict[str, Profile]:
        def shape(name, batch, count):
            return shape_of(kind, name, config, batch=batch, sources=count)

        return {
            str(name): Profile(
                smallest=shape(name, 1, 1),
                best=shape(name, largest, sources),
                largest=shape(name, largest, sources),
            )
            for name in GRAPH_INPUTS[kind]
        }

    return tuple(of(largest) for largest in batches)


@pytest.fixture
def make_sidecar(config):
    """Builds a sidecar; keywords change it."""

    def make(**changes) -> Sidecar:
        values = {
            "name": "waveform.fp16.tensorrt.sm89",
            "flavor": Flavor.TENSORRT,
            "version": (10, 13, 3, 9),
            "gpus": ("sm89",),
            "gpu_name": "Fake GPU",
            "kind": Kind.WAVEFORM,
            "precision": Precision.FP16,
            "graph_sha256": GRAPH,
            "profiles": profiles(config, changes.get("kind", Kind.WAVEFORM), 4),
            "hardware_compatible": False,
            "version_compatible": False,
            "workspace_bytes": None,
            "figure": Figure(
                kernels=3, kinds={"gemm": 3}, casts=0, movers=0, attention=1, plugins=(),
                norms=0, activation_bytes=(10,), weights_bytes=20,
            ),
            "plugin": None,
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "size": len(CONTENT),
            "generator": "sgn-rt test",
            "proof": None,
        } | changes  # fmt: skip
        return Sidecar(**values)

    return make


@pytest.fixture
def loaded(trt, device, config, make_sidecar):
    """A whole engine that takes 4 windows and 2 of 3 categories at a time."""
    return LoadedEngine(trt, device, config, make_sidecar(), CONTENT, None)


@pytest.fixture
def whole(device, loaded):
    return Model(device, loaded)


def half_of(kind, config, make_sidecar, *batches, sources=2) -> tuple[Sidecar, bytes]:
    """Half of a pair, as it lies in a bundle."""
    content = b"a network" if kind == Kind.PLUGIN else b"a synthesis"
    sidecar = make_sidecar(
        name=f"{kind}.fp16.tensorrt.sm89", kind=kind,
        profiles=profiles(config, kind, *batches, sources=sources),
        sha256=hashlib.sha256(content).hexdigest(), size=len(content),
    )  # fmt: skip
    return sidecar, content


def pair_of(trt, device, config, make_sidecar, *batches, sources=2) -> Model:
    """A network and a synthesis, with a profile for each number of windows."""
    lock, halves = threading.Lock(), []
    for kind in (Kind.PLUGIN, Kind.SYNTHESIS):
        half = half_of(kind, config, make_sidecar, *batches, sources=sources)
        halves.append(LoadedEngine(trt, device, config, *half, None, lock))
    return Model(device, *halves, kernels=HostKernels(device))


@pytest.fixture
def make_pair(trt, device, config, make_sidecar):
    return lambda *batches: pair_of(trt, device, config, make_sidecar, *batches or (4,))


@pytest.fixture
def pair(make_pair):
    return make_pair()


@pytest.fixture(params=["pair", "whole"])
def model(request):
    """Both ways from a mixture to sources."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def bundle(tmp_path, config):
    """What engines need of a bundle: a folder with a graph of a known hash."""
    artifact = SimpleNamespace(
        path="waveform.fp16.onnx", kind=Kind.WAVEFORM, precision=Precision.FP16,
        external=(), name="waveform.fp16",
    )  # fmt: skip
    record = FileRecord(path=artifact.path, sha256=GRAPH, size=7)
    return SimpleNamespace(
        root=tmp_path,
        config=config,
        artifacts=(artifact,),
        graphs=artifact.name,
        has_checkpoint=False,
        files={artifact.path: record},
        find=lambda kind, precision: (
            artifact if (kind, precision) == (artifact.kind, artifact.precision) else None
        ),
    )


@pytest.fixture
def nothing_left(device):
    """Says what the device still holds, once all that is unreachable is gone."""

    def count() -> dict[str, int]:
        gc.collect()
        return {kind: number for kind, number in device.live.items() if number}

    return count
