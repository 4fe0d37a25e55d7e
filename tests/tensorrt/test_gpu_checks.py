"""The checks of TensorRT themselves: they hold on a right engine, and see a wrong one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt.checks.check import Budget, Place
from sgn_rt.checks.tensorrt import engine_checks as checks
from sgn_rt.checks.tensorrt import world as worlds
from sgn_rt.checks.tensorrt.engine_checks import (
    CHECKS,
    check_graphs,
    check_growth,
    check_parts,
    check_session,
    check_threads,
)
from sgn_rt.checks.tensorrt.world import World
from sgn_rt.engines.tensorrt import TensorRTEngine
from sgn_rt.errors import EngineError, PluginError, UnavailableError
from sgn_rt.model.contract import ENGINE_KINDS, Precision
from sgn_rt.tensorrt.bindings import Flavor

STRUCTURAL = [
    check for check in CHECKS if check.name in ("graphs", "parts", "threads", "session", "growth")
]


@pytest.fixture
def world(bundle, trt, device, model):
    made = World(bundle, trt, device, soak_windows=50)
    counted = replace(model, device=made.graphs)
    made.engines[Precision.FP16] = TensorRTEngine("tensorrt", bundle, counted)
    return made


def test_all_hold_on_a_right_engine(world, nothing_left):
    for check in STRUCTURAL:
        assert check.run(world)
    world.close()
    assert nothing_left() == {}


@pytest.mark.parametrize("check", [check_graphs, check_threads])
def test_an_answer_that_changes_is_seen(world, module, check, monkeypatch):
    from . import fakes

    calls = iter(range(10_000))
    monkeypatch.setattr(
        fakes, "PRESENCE", type("Drift", (), {"__array__": lambda *a, **k: drift()})()
    )

    def drift():
        return np.full(3, 1e-4 * next(calls), np.float32)

    with pytest.raises(EngineError, match="got a difference of"):
        check(world)


def test_a_session_that_answers_something_else_is_seen(world, monkeypatch):
    from sgn_rt.tensorrt.run.session import Session

    right = Session.run
    monkeypatch.setattr(Session, "run", lambda self, mixture, wanted: right(self, mixture, [1]))
    with pytest.raises(EngineError, match="session: got a difference of"):
        check_session(world)


def test_parts_that_are_mixed_up_are_seen(world, monkeypatch):
    right = TensorRTEngine.separate

    def wrong(self, mixture, categories):
        return right(self, mixture[::-1].copy(), categories)

    monkeypatch.setattr(TensorRTEngine, "separate", wrong)
    with pytest.raises(EngineError, match="parts: got a difference"):
        check_parts(world)


def test_a_graph_that_cannot_be_captured_is_seen(world, device):
    device.fail = {"capture": 1}
    with pytest.raises(EngineError, match="CUDA graph: got capture"):
        check_graphs(world)


def test_memory_that_grows_is_seen(world, device, monkeypatch):
    left = iter(range(1 << 30, 0, -(64 << 20)))
    monkeypatch.setattr(device, "free_bytes", lambda: next(left))
    with pytest.raises(EngineError, match="device memory: got 67108864 bytes more after 50 calls"):
        check_growth(world)


def test_a_soak_that_replays_no_graph_is_seen(world, monkeypatch):
    """Shapes that alternate, as the check's own once did, never come to a second equal call."""
    monkeypatch.setattr(checks, "IN_A_ROW", 1)
    with pytest.raises(EngineError, match="CUDA graphs: got 0 replayed in 50 calls"):
        check_growth(world)


def test_a_soak_replays_graphs_and_says_how_many(world):
    figures = check_growth(world)
    assert figures["calls"] == 50
    assert figures["graphs_replayed"] >= 25


def test_a_soak_ends_with_its_time(world):
    now = iter(range(10**6))
    world.budget, world.soak_windows = Budget(200.0, lambda: float(next(now))), 10**6
    assert 100 < check_growth(world)["calls"] < 200


@pytest.fixture
def flavors(trt, device, monkeypatch):
    """A TensorRT for RTX that knows sm80 and sm89, on the fake GPU."""
    rtx = replace(trt, flavor=Flavor.RTX, module=SimpleNamespace(
        ComputeCapability=SimpleNamespace(SM80=1, SM89=2)))  # fmt: skip
    monkeypatch.setattr(worlds, "load", lambda flavor: rtx if flavor == Flavor.RTX else trt)
    monkeypatch.setattr(worlds, "open_device", lambda: device)


def test_a_gpu_that_rtx_does_not_know_is_not_its_failure(flavors, device, tmp_path, fails):
    """Hopper: TensorRT for RTX has no sm90."""
    device.capability = "sm90"
    with fails(UnavailableError, "got Fake GPU (sm90), expected one of sm80, sm89"):
        worlds.open_rtx(Place(bundle=tmp_path))


def test_a_bundle_without_graphs_is_exported_where_that_can_be(flavors, bundle, monkeypatch, fails):
    bundle.artifacts, bundle.has_checkpoint = (), True
    whole = SimpleNamespace(artifacts=(SimpleNamespace(kind=ENGINE_KINDS[0]),))
    opened = {Path("small"): bundle, Path("whole"): whole}
    exported, steps = [], []
    monkeypatch.setattr("sgn_rt.checks.check.Bundle.open", opened.get)

    def export(folder, kinds):
        exported.extend(kinds)
        return Path("whole")

    def library():
        steps.append("look")
        if "build" not in steps:
            raise PluginError("plugin library: got no file, expected one. Build it.")

    monkeypatch.setattr(worlds, "plugin_library", library)
    monkeypatch.setattr(worlds, "build_library", lambda: steps.append("build"))
    place = Place(bundle=Path("small"), export=export)
    assert worlds.open_tensorrt(place).bundle is whole
    assert exported == [ENGINE_KINDS[0]]  # the best alone
    # Its graph has plugins: their library is built where there is none yet, and only then.
    assert steps == ["look", "build", "look"]
    worlds.open_tensorrt(place)
    assert steps[3:] == ["look"]
    with fails(UnavailableError, "got a bundle without a graph to build from"):
        worlds.open_tensorrt(replace(place, export=None))


def test_a_device_that_no_longer_answers_is_not_usable(world, device):
    assert world.is_usable
    device.fail = {"synchronize": device.counts["synchronize"] + 1}
    assert not world.is_usable


def test_int8_is_checked_where_the_bundle_has_it(world, monkeypatch, fails):
    (check,) = [check.run for check in CHECKS if check.name == "parity-int8"]
    with fails(UnavailableError, "got a bundle without a graph for tensorrt", "--precision int8"):
        check(world)
    world.bundle.artifacts = (
        SimpleNamespace(kind=ENGINE_KINDS[0], precision=Precision.INT8, name="plugin.int8"),
    )
    asked = []
    monkeypatch.setattr(checks, "_parity", lambda world, precision: asked.append(precision) or {})
    assert check(world) == {}
    assert asked == [Precision.INT8]
