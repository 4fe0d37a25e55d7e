"""Processes of their own, on the model that ships; nothing looks at how long they took."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.benchmarks.machine.memory import peak_memory
from sgn_rt.benchmarks.rows.subjects import Subject
from sgn_rt.benchmarks.scenarios import isolated
from sgn_rt.benchmarks.scenarios.setting import Setting
from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Bundle


@pytest.fixture
def shipped(tmp_path):
    return Setting(bundle=Bundle.open(), threads=1, folder=tmp_path, seconds=1.2)


def case(name, setting):
    return isolated.Case(
        subject=Subject(name=name), case="all", categories=["piano"],
        recording=setting.recording(), total=True,
    )  # fmt: skip


def test_memory_is_of_the_process_alone_and_steps_add_up(shipped):
    pytest.importorskip("onnxruntime")
    held = np.ones(600 << 20, np.uint8)  # must not show in the child's figure
    assert peak_memory() > held.nbytes
    found = isolated.separate(case("onnxruntime", shipped), shipped)
    assert 0 < found["loaded"] <= found["peak"] < held.nbytes
    steps = [found[name] for name in isolated.STEPS]
    assert min(steps) > 0
    assert found["total"] == pytest.approx(sum(steps))
    assert not (shipped.folder / "isolated").exists()


def test_a_process_that_ends_badly(shipped, fails):
    with fails(EngineError, "nonesuch", "exit code"):
        isolated.separate(case("nonesuch", shipped), shipped)
