"""The GPU's report as a whole: every part, every check, on fakes of all that it needs."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt.checks.check import Group, Part, Place, Verdict
from sgn_rt.checks.device import kernel_checks, sharing_checks, torch_rows
from sgn_rt.checks.onnxruntime import provider_checks
from sgn_rt.checks.parts import GROUPS
from sgn_rt.checks.report import Report, chosen, run_checks
from sgn_rt.checks.runner import LocalRunner
from sgn_rt.checks.tensorrt import engine_checks
from sgn_rt.checks.tensorrt.world import World
from sgn_rt.engines.tensorrt import TensorRTEngine
from sgn_rt.errors import EngineError, UnavailableError
from sgn_rt.model.contract import Precision

from ...conftest import FakeEngine

torch = pytest.importorskip("torch")

MACHINE = {
    "sgn-rt": "1.0", "code": "0123456789ab", "python": "3.11", "platform": "Linux", "cpus": 2,
    "gpus": [{"name": "Fake GPU", "driver_version": "580.1"}], "cuda": {}, "tools": [],
    "packages": {}, "bundle": {"name": "fake", "identity": "fake", "graphs": []},
}  # fmt: skip


@pytest.fixture
def tensorrt_world(bundle, trt, device, pair):
    made = World(bundle, trt, device, soak_windows=50)
    engine = TensorRTEngine("tensorrt", bundle, replace(pair, device=made.graphs))
    made.engines |= dict.fromkeys((Precision.FP16, Precision.FP32), engine)
    bundle.probe = None  # what is measured on it is the tests' own
    return made


@pytest.fixture
def torch_world(small_config, clock):
    from sgn_rt.reference import random_model

    model = random_model(small_config(), 0)
    mixture = 0.1 * torch.randn(1, model.config.window_samples, generator=torch.manual_seed(0))
    with torch.inference_mode():
        sources = model(mixture, torch.arange(3)).sources
    probe = SimpleNamespace(
        mixture=mixture.numpy(), categories=np.arange(3)[None], sources=sources.numpy()
    )
    module = SimpleNamespace(**vars(torch) | {"compile": lambda function: function})
    bundle = SimpleNamespace(config=model.config, probe=probe)
    made = torch_rows.TorchWorld(module, bundle, device="cpu", clock=clock)
    return made, model


class Clock:
    """A second passes whenever it is looked at."""

    now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def groups(
    checked_world, torch_world, tensorrt_world, config, clock, monkeypatch
) -> Sequence[Group]:
    """Those of the report, each on a world of fakes; TensorRT for RTX does not know the GPU."""
    reference, model = torch_world
    monkeypatch.setattr(torch_rows, "LARGEST", 2)
    monkeypatch.setattr(torch_rows, "RUNS", 1)
    monkeypatch.setattr(torch_rows.TorchWorld, "model", lambda self: copy.deepcopy(model))
    monkeypatch.setattr(sharing_checks, "exchange", lambda world, library: {"library": library})
    for name in ("torch", "cupy"):
        monkeypatch.setattr(sharing_checks, f"{name}_library", lambda name=name: name)
    monkeypatch.setattr(kernel_checks, "CASES", ())
    monkeypatch.setattr(kernel_checks.shutil, "which", lambda name: None)
    held = [SimpleNamespace(passed=True, stage="whole", to_dict=lambda: {"figure": 100.0})]
    for module in (provider_checks, engine_checks):
        monkeypatch.setattr(module, "measure", lambda engine, probe: held)
    monkeypatch.setattr(engine_checks, "compare_probe", lambda *arguments: {"spectrum_db": 120.0})
    monkeypatch.setattr(engine_checks, "plugin_library", lambda: SimpleNamespace(path="library"))
    window = np.zeros((1, config.window_samples), np.float32)
    whole = SimpleNamespace(
        config=config, probe=SimpleNamespace(mixture=window), find=lambda *choice: True
    )

    def providers(place):
        return provider_checks.ProviderWorld(
            "onnxruntime-cuda", whole, lambda name, bundle: FakeEngine(config, name), clock
        )

    def unknown(place):
        raise UnavailableError("tensorrt-rtx 1.7: got Fake GPU (sm90), expected sm80. Use another.")

    worlds = {
        "device": lambda place: checked_world,
        "torch": lambda place: reference,
        "onnxruntime-cuda": providers,
        "onnxruntime-tensorrt": providers,
        "tensorrt": lambda place: tensorrt_world,
        "tensorrt-rtx": unknown,
    }
    assert set(worlds) == {group.name for group in GROUPS}
    return [replace(group, open=worlds[group.name]) for group in GROUPS]


def _run(groups, path, tmp_path):
    report = Report(path, MACHINE, again=False)
    run_checks(chosen(groups, None), LocalRunner(Place(bundle=tmp_path)), report)
    return report


def test_every_part_is_in_one_report(groups, tmp_path):
    path = tmp_path / "report.txt"
    report = _run(groups, path, tmp_path)
    outcomes = {name: outcome for name, (_, outcome) in report.outcomes.items()}
    assert list(outcomes) == [group.name_of(check) for group in groups for check in group.checks]
    other = {name: o for name, o in outcomes.items() if o.verdict != Verdict.HELD}
    absent = {name for name in outcomes if name.startswith("tensorrt-rtx/")}
    absent |= {"device/sanitizer", "tensorrt/parity-int8"}
    assert {name: o.reason for name, o in other.items() if name not in absent} == {}
    assert {other[name].verdict for name in absent} == {Verdict.DOES_NOT_APPLY}
    assert report.held
    text = path.read_text()
    for part in Part:
        assert f"\n{part.heading}\n" in text
    assert "tensorrt-rtx/parts: does not apply: as above" in text
    assert json.loads((tmp_path / "report.txt.json").read_text())["held"]


def test_a_device_that_fails_late_does_not_end_the_report(groups, checked_world, tmp_path):
    """The third copy back fails: one check is lost, and no other."""
    checked_world.device.fail = {"download": 3}
    layer = replace(groups[0], checks=groups[0].checks[:6])
    report = _run([layer], tmp_path / "report.txt", tmp_path)
    failed = [n for n, (_, found) in report.outcomes.items() if found.verdict == Verdict.FAILED]
    assert failed == ["device/copies"]
    assert "download: got a failure" in report.outcomes["device/copies"][1].reason
    assert not report.held


@pytest.mark.parametrize("error", [EngineError("x: got 1, expected 2. Do it."), MemoryError(),
                                   SystemError("a binding")])  # fmt: skip
def test_whatever_a_check_raises_is_told(groups, tmp_path, error):
    def raises(world):
        raise error

    first, *_ = groups
    changed = [replace(first, checks=(replace(first.checks[1], run=raises), first.checks[2]))]
    report = _run(changed, tmp_path / "report.txt", tmp_path)
    assert type(error).__name__ in report.text or str(error) in report.text
    verdicts = [found.verdict for _, found in report.outcomes.values()]
    assert verdicts == [Verdict.FAILED, Verdict.HELD]
