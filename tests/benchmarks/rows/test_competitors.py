"""Each competitor that installs here runs and holds parity; one that does not has no time."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pytest

from sgn_rt._optional import pip_command
from sgn_rt._types import Masked, Separated
from sgn_rt.benchmarks.rows import plain
from sgn_rt.benchmarks.rows.competitors import COMPETITORS, Competitor
from sgn_rt.benchmarks.rows.compiled import COMPILER_COMMAND
from sgn_rt.benchmarks.rows.eager import ChannelsLast, has_bfloat16
from sgn_rt.benchmarks.rows.standard_transforms import _Nodes
from sgn_rt.benchmarks.rows.subjects import gather, separator

torch = pytest.importorskip("torch")
ON_CPU = [name for name, each in COMPETITORS.items() if not each.on_gpu]


@pytest.fixture
def captured(monkeypatch):
    """``torch.compile`` that captures the network and differs in nothing but the code it makes.

    That takes a C++ compiler most of a minute.
    """
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))


def row_of(name, bundle, graphs):
    (subject,) = gather([name], bundle, 1, graphs)
    assert subject.row.kind == "competitor"
    assert subject.row.name == name
    return subject


@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize("name", ON_CPU)
def test_it_runs_and_holds_parity(name, small, graphs):
    if name == "torch-bf16" and not has_bfloat16(torch):
        pytest.skip("this processor computes no bfloat16")
    if name == "openvino":
        pytest.importorskip("openvino")
    subject = row_of(name, small, graphs)
    engine, row = subject.engine, subject.row
    assert row.failure is None
    assert "whole" in row.accuracy
    assert ("network" in row.accuracy) == (name not in ("onnx-stft", "onnx-dft"))
    assert row.precision == ("bf16" if name == "torch-bf16" else "fp32")
    assert row.detail == engine.detail
    loose = 2e-2 if name == "torch-bf16" else 1e-6
    both = np.resize(small.probe.mixture, (2, small.config.window_samples))
    everything = engine.separate(both, np.arange(3))
    two = engine.separate(both[1:], np.array([2, 0]))
    np.testing.assert_allclose(two.sources[0], everything.sources[1, [2, 0]], atol=loose)
    none = engine.separate(both[1:], np.zeros(0, np.int64))
    assert none.sources.shape == (1, 0, small.config.window_samples)
    np.testing.assert_allclose(none.presence[0], everything.presence[1], atol=loose)
    with separator(engine, small, 1) as opened:
        found = opened.separate(both[:1], ["drum"], sample_rate=small.config.sample_rate)
    assert list(found.sources) == ["drum"]
    engine.close()


class _Loud(ChannelsLast):
    """Masks that are a little too large."""

    def _masked(self, log_magnitude, categories):
        masks, presence = super()._masked(log_magnitude, categories)
        return masks * 1.01, presence


class _Broken(ChannelsLast):
    """Nothing that is a number."""

    def _masked(self, log_magnitude, categories):
        masks, presence = super()._masked(log_magnitude, categories)
        return masks, presence * float("nan")


@pytest.mark.parametrize(("wrong", "said"), [(_Loud, "parity: network: "), (_Broken, "non-finite")])
def test_one_that_is_wrong_has_no_time(wrong, said, small, graphs, monkeypatch):
    monkeypatch.setitem(COMPETITORS, "torch", Competitor(open=wrong))
    closed = []
    monkeypatch.setattr(wrong, "close", lambda self: closed.append(self))
    subject = row_of("torch", small, graphs)
    assert subject.engine is None
    assert len(closed) == 1
    assert said in subject.row.failure
    assert not subject.row.absent
    assert subject.row.command is None


def test_a_transform_that_is_wrong_has_no_time(small, graphs, monkeypatch):
    """Of a graph from mixture to sources only the whole is seen: the symmetric window there."""
    from sgn_rt.benchmarks.rows import standard_transforms

    monkeypatch.setattr(standard_transforms, "hann", np.hanning)
    subject = row_of("onnx-dft", small, graphs)
    assert subject.engine is None
    assert subject.row.failure.startswith("parity: whole: ")


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("openvino", "openvino", "bench"),
        ("plain-export", "onnxruntime", "cpu"),
        ("onnx-stft", "onnx", "export"),
        ("torch", "torch", "export"),
    ],
)
def test_what_is_not_installed_is_named_with_the_command(
    name, module, extra, small, graphs, monkeypatch
):
    monkeypatch.setitem(sys.modules, module, None)
    row = row_of(name, small, graphs).row
    assert row.absent
    assert row.command == pip_command(extra)
    assert f"the row {name} needs the package {module!r}" in row.failure
    assert row.command in row.failure


def test_no_compiler_is_told_with_the_command(small, graphs):
    from torch._inductor import config

    with config.patch({"cpp.cxx": ("no-such-compiler",)}):
        row = row_of("torch-compile", small, graphs).row
    assert row.absent
    assert row.command == COMPILER_COMMAND
    assert "got none, expected a C++ compiler" in row.failure


def test_a_compiler_that_fails_is_a_failure(small, graphs, monkeypatch):
    def broken(work):
        def call(*arguments):
            raise RuntimeError("no registers left")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    row = row_of("torch-compile", small, graphs).row
    assert not row.absent
    assert "got RuntimeError: no registers left" in row.failure


def test_a_processor_without_bfloat16_has_no_such_row(small, graphs, monkeypatch):
    from sgn_rt.benchmarks.rows import eager

    monkeypatch.setattr(eager, "has_bfloat16", lambda torch: False)
    row = row_of("torch-bf16", small, graphs).row
    assert row.absent
    assert row.precision == "bf16"


def test_the_plain_export_is_written_once(small, graphs, monkeypatch):
    row_of(plain.NAME, small, graphs)
    monkeypatch.setattr(torch.onnx, "export", None)
    assert row_of(plain.NAME, small, graphs).failure is None


def test_an_exporter_that_fails_leaves_nothing_behind(small, tmp_path, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", broken)
    row = row_of(plain.NAME, small, tmp_path).row
    assert not row.absent
    assert "got RuntimeError: no such operator" in row.failure
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("opset", "inputs"), [(18, 1), (20, 3)])
def test_dft_is_told_its_axis_as_the_operator_set_wants(opset, inputs):
    nodes = _Nodes(opset)
    nodes.dft("x", axis=2, onesided=1)
    (node,) = nodes.nodes
    assert len(node.input) == inputs
    assert ("axis" in {each.name for each in node.attribute}) == (opset < 20)


def test_types_of_answers_are_those_of_any_engine(small, graphs):
    engine = row_of("torch", small, graphs).engine
    categories = np.array([1])
    assert isinstance(engine.masks(small.probe.log_magnitude[:1, None], categories), Masked)
    found = engine.separate(small.probe.mixture[:1], categories)
    assert isinstance(found, Separated)
    assert found.sources.dtype == found.presence.dtype == np.float32
