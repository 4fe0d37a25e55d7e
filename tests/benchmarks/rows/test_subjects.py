"""What is timed is proved first, and what fails has no time."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt.benchmarks.rows import subjects
from sgn_rt.benchmarks.rows.competitors import COMPETITORS
from sgn_rt.benchmarks.rows.subjects import Subject, gather, open_subject, prove
from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import Kind, Precision


@pytest.fixture(scope="module")
def bundle():
    return Bundle.open()


def wrong_masks(engine):
    """The engine with masks that are a little too large."""
    right = engine._mask
    engine._mask = lambda state, category: np.minimum(right(state, category) * np.float32(1.01), 1)
    return engine


def test_an_engine_within_its_limits_is_timed(bundle, tmp_path):
    pytest.importorskip("onnxruntime")
    engine = open_subject("onnxruntime", bundle, 1, tmp_path)
    subject = prove("onnxruntime", engine, bundle)
    assert subject.engine is engine
    assert subject.failure is None
    assert all(stage["passed"] for stage in subject.row.accuracy.values())


def test_an_engine_beyond_its_limits_has_no_time(bundle, tmp_path):
    pytest.importorskip("onnxruntime")
    engine = wrong_masks(open_subject("onnxruntime", bundle, 1, tmp_path))
    subject = prove("onnxruntime", engine, bundle)
    assert subject.engine is None
    assert subject.failure.startswith("parity: network: ")


def test_what_is_not_here_is_no_failure(bundle, tmp_path):
    found = gather(["nonesuch"], bundle, 1, tmp_path)
    assert found[0].absent
    assert "nonesuch" in found[0].failure


def test_what_is_here_and_does_not_start_is_a_failure(bundle, tmp_path, monkeypatch):
    def broken(*arguments):
        raise EngineError("broken")

    monkeypatch.setattr(subjects, "open_engine", broken)
    (subject,) = gather(["onnxruntime"], bundle, 1, tmp_path)
    assert (subject.absent, subject.failure) == (False, "broken")


@pytest.fixture
def opened(monkeypatch):
    """Names in the order in which they are opened; ``absent`` are those that are not here."""
    names, absent = [], set()

    def note(name, bundle, threads, folder, devices, network):
        names.append(name)
        return Subject(name=name, absent=name in absent)

    monkeypatch.setattr(subjects, "_gathered", note)
    return SimpleNamespace(names=names, absent=absent)


def holding(*graphs):
    artifacts = [SimpleNamespace(kind=Kind(kind), precision=Precision(precision),
                                 name=f"{kind}.{precision}")
                 for kind, precision in (graph.split(".") for graph in graphs)]  # fmt: skip
    return SimpleNamespace(artifacts=artifacts)


EVERY = ("core.fp32", "core.fp16", "core.int8", "masks.fp32", "waveform.fp32", "plugin.fp16")


def test_every_engine_on_every_graph_that_it_runs_then_competitors(opened, tmp_path):
    found = gather([], holding(*EVERY), 1, tmp_path)
    assert [subject.name for subject in found] == opened.names
    engines = opened.names[: -len(COMPETITORS)]
    assert opened.names[-len(COMPETITORS) :] == list(COMPETITORS)
    assert [name for name in engines if name.startswith("onnxruntime:")] == [
        f"onnxruntime:{graph}" for graph in EVERY if graph.startswith(("core", "waveform"))
    ]
    assert "tensorrt:plugin.fp16" in engines
    assert "onnxruntime-tensorrt:waveform.fp32" in engines
    assert not [name for name in engines if "masks" in name or name == "torch"]


def test_an_engine_that_is_not_here_is_told_of_once(opened, tmp_path):
    opened.absent |= {f"onnxruntime-cuda:{graph}" for graph in EVERY}
    names = [subject.name for subject in gather([], holding(*EVERY), 1, tmp_path)]
    assert [name for name in names if name.startswith("onnxruntime-cuda")] == [
        "onnxruntime-cuda", "onnxruntime-cuda-plain",
    ]  # fmt: skip


def test_rows_come_as_named_each_once(opened, tmp_path):
    gather(["torch", "onnxruntime", "torch"], holding(), 1, tmp_path)
    assert opened.names == ["torch", "onnxruntime"]


@pytest.mark.parametrize(
    ("name", "precision"), [("onnxruntime:core.int8", "int8"), ("tensorrt", "fp32")]
)
def test_what_was_not_opened_has_the_precision_of_its_name(name, precision):
    assert Subject(name=name, failure="not here", absent=True).row.precision == precision
