"""The GPU's checks themselves: they hold on a right engine, see a wrong one, and report both."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.checks import gpu_report as reports
from sgn_rt.checks.gpu_checks import (
    CHECKS,
    World,
    check_graphs,
    check_growth,
    check_parts,
    check_threads,
)
from sgn_rt.checks.gpu_report import gpu_report, run_checks, show
from sgn_rt.engines.tensorrt import TensorRTEngine
from sgn_rt.errors import EngineError
from sgn_rt.model.contract import Precision

STRUCTURAL = {name: CHECKS[name] for name in ("graphs", "parts", "threads", "session", "growth")}


@pytest.fixture
def world(bundle, trt, device, loaded, make_sidecar):
    made = World(bundle, trt, device, soak_windows=50)
    made.engines[Precision.FP16] = TensorRTEngine(
        "tensorrt", bundle, make_sidecar(), loaded, device
    )
    return made


def test_all_hold_on_a_right_engine(world, nothing_left):
    outcomes = run_checks(world, STRUCTURAL)
    assert [outcome.failure for outcome in outcomes] == [None] * len(STRUCTURAL)
    world.engines.clear()
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
        CHECKS["session"](world)


def test_parts_that_are_mixed_up_are_seen(world, monkeypatch):
    right = TensorRTEngine._separate

    def wrong(self, mixture, categories):
        return right(self, mixture[::-1].copy(), categories)

    monkeypatch.setattr(TensorRTEngine, "_separate", wrong)
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


def test_every_outcome_is_in_the_report(world):
    def fails(world):
        raise EngineError("engine: got a failure, expected none. Report it.")

    def breaks(world):
        raise ZeroDivisionError("by a kernel")

    checks = {"fails": fails, "breaks": breaks, "holds": lambda world: {"figure": 1.5}}
    outcomes = run_checks(world, checks)
    assert [outcome.passed for outcome in outcomes] == [False, False, True]
    text = "\n".join(line for outcome in outcomes for line in show(outcome))
    assert "fails: FAILED" in text
    assert "expected none" in text
    assert "ZeroDivisionError: by a kernel" in text
    assert "holds: held" in text
    assert "figure: 1.5" in text


def test_the_report_is_whole_with_or_without_a_gpu(bundle, trt, device, monkeypatch):
    bundle.name = "small"
    monkeypatch.setattr(reports, "is_installed", lambda flavor: flavor == trt.flavor)
    monkeypatch.setattr(reports, "load", lambda flavor: trt)
    monkeypatch.setattr(reports, "open_device", lambda: device)
    monkeypatch.setattr(reports, "run_checks", lambda world, checks, tell: [])
    text, passed = gpu_report(bundle, id)
    assert passed
    assert "tensorrt 10.13.3.9, Fake GPU (sm89), fake 1.0" in text

    def none():
        raise EngineError("GPU: got none, expected one. Check `nvidia-smi`.")

    monkeypatch.setattr(reports, "open_device", none)
    text, passed = gpu_report(bundle, id)
    assert not passed
    assert "FAILED: GPU: got none" in text

    monkeypatch.setattr(reports, "is_installed", lambda flavor: False)
    text, passed = gpu_report(bundle, id)
    assert not passed
    assert "neither tensorrt nor tensorrt_rtx" in text
