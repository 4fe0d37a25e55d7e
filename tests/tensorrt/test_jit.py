"""Kernels that TensorRT for RTX compiled are kept across starts; it runs where they cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sgn_rt._atomic import CACHE_VARIABLE
from sgn_rt.engines.tensorrt import TensorRTEngine
from sgn_rt.tensorrt.bindings import Flavor, TensorRT
from sgn_rt.tensorrt.run.jit import KernelCache
from sgn_rt.tensorrt.run.runtime import LoadedEngine, Model


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def start(module, device, config, bundle, make_sidecar):
    """Starts an engine and runs a window."""

    def run(flavor=Flavor.RTX) -> TensorRTEngine:
        trt = TensorRT(flavor=flavor, module=module, version=(1, 7, 1))
        loaded = LoadedEngine(trt, device, config, make_sidecar(), b"x", None)
        engine = TensorRTEngine(str(flavor), bundle, Model(device, loaded))
        engine.separate(np.zeros((9, config.window_samples), np.float32), np.array([0]))
        return engine

    return run


def test_every_context_shares_them_and_compiles_before_it_runs(start, module):
    start()
    assert len(module.configs) == 2
    assert [each.cache for each in module.configs] == module.caches * 2
    eager = {each.dynamic_shapes_kernel_specialization_strategy for each in module.configs}
    assert eager == {"eager"}


def test_they_are_written_at_the_end_and_read_at_the_next_start(start, module, folder):
    engine = start()
    assert not folder.exists()
    module.caches[0].content = b"compiled"
    engine.close()
    (path,) = folder.iterdir()
    assert path.read_bytes() == b"compiled"
    before = path.stat().st_mtime_ns
    start().close()
    assert module.caches[1].content == b"compiled"
    assert path.stat().st_mtime_ns == before  # nothing new, nothing written


def test_they_are_written_when_the_probe_has_passed(start, folder):
    engine = start()
    engine.proved([])
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("content", [b"another version", None])
def test_what_cannot_be_read_is_done_without_and_replaced(
    start, module, device, make_sidecar, folder, content
):
    path = KernelCache(make_sidecar(), device.capability).path
    folder.mkdir(parents=True)
    if content is None:
        path.mkdir()  # neither read nor written
    else:
        path.write_bytes(content)
    start().close()
    assert module.caches[0].content == b"fresh"
    assert content is None or path.read_bytes() == b"fresh"
    assert [each.name for each in folder.iterdir()] == [path.name]


def test_without_a_home_folder_it_runs(start, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in (CACHE_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    start().close()


def test_another_gpu_has_a_file_of_its_own(make_sidecar):
    paths = {KernelCache(make_sidecar(), gpu).path for gpu in ("sm89", "sm120")}
    assert len(paths) == 2


def test_without_a_cache_it_runs(start, module, monkeypatch, folder):
    from . import fakes

    monkeypatch.setattr(fakes, "FakeKernels", lambda: None)
    start().close()
    assert not folder.exists()


def test_full_tensorrt_compiles_none(start, module, folder):
    start(Flavor.TENSORRT).close()
    assert module.caches == []
    assert not folder.exists()
