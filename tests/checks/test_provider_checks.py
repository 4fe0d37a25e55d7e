"""ONNX Runtime in the GPU's report: what opens is proved and timed, what does not says why."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sgn_rt.checks.onnxruntime import provider_checks as checks
from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import EngineError, ParityError, UnavailableError
from sgn_rt.model.bundle import Bundle, embedded

ALL = {check.name: check.run for group in checks.GROUPS for check in group.checks}


@pytest.fixture
def world(clock):
    """The CPU's engine in the place of a GPU's."""

    def tick():
        clock.now += 0.5
        return clock.now

    def on_the_cpu(name, bundle):
        _, _, graph = name.partition(":")
        return open_engine(f"onnxruntime:{graph}", bundle, 1)

    return checks.ProviderWorld("onnxruntime-cuda", Bundle.open(None), on_the_cpu, tick)


def test_a_graph_is_opened_proved_and_timed(world):
    figures = ALL["core-fp32"](world)
    assert "core.fp32 on CPUExecutionProvider" in figures["engine"]
    assert figures["whole"] > 90
    assert figures["windows_per_s_batch_1"] == pytest.approx(2.0)


def test_a_graph_that_is_not_there_says_how_it_is_had(world, fails):
    with fails(UnavailableError, "got a bundle without waveform.fp16", "sgn-rt export"):
        ALL["waveform-fp16"](world)


def test_a_provider_that_does_not_hold_parity_has_no_rate(world, monkeypatch):
    right = checks.measure

    def measure(engine, probe):
        return [SimpleNamespace(passed=False, __str__=lambda: "whole"), *right(engine, probe)[:0]]

    monkeypatch.setattr(checks, "measure", measure)
    with pytest.raises(ParityError, match="expected every stage to hold"):
        ALL["core-fp32"](world)


def test_a_provider_that_does_not_open_is_a_failure(world):
    def broken(name, bundle):
        raise EngineError("onnxruntime: got no cuDNN, expected it. Install it.")

    world.open_engine = broken
    with pytest.raises(EngineError, match="got no cuDNN"):
        ALL["core-fp32"](world)


@pytest.mark.parametrize("group", checks.GROUPS, ids=lambda group: group.name)
def test_without_provider_or_gpu_nothing_is_exported(group, monkeypatch, fails):
    def export(folder, kinds):
        raise AssertionError("exported for nothing")

    place = checks.Place(bundle=embedded(), export=export)
    module = SimpleNamespace(
        __name__="onnxruntime", __version__="1.31",
        get_available_providers=lambda: ["CPUExecutionProvider"],
    )  # fmt: skip
    monkeypatch.setattr(checks, "require", lambda name, **more: module)
    monkeypatch.setattr(checks, "has_driver", lambda: False)
    with fails(UnavailableError, "with only CPUExecutionProvider"):
        group.open(place)
    module.get_available_providers = lambda: list(checks.PROVIDERS.values())
    with pytest.raises(UnavailableError, match="got no nvidia-smi"):
        group.open(place)


def test_tensorrts_provider_runs_where_no_library_computes_in_tf32():
    assert [dict(group.environment) for group in checks.GROUPS] == [
        {}, {"NVIDIA_TF32_OVERRIDE": "0"},
    ]  # fmt: skip
