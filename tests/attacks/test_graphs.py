"""Graphs of a hostile or broken bundle: refused in a clear line, and never replaced in silence."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

from sgn_rt import Separator
from sgn_rt.errors import EngineError, ParityWarning

CORE, WAVEFORM = "core.fp32.onnx", "waveform.fp32.onnx"
CPU = {"onnxruntime", "onnxruntime:waveform.fp32"}


def damaged(content: bytes) -> bytes:
    return content[: len(content) // 2]


def separate(separator, noise):
    return separator.separate(noise(1, 3000), ["bell"], sample_rate=8000)


@pytest.mark.parametrize("content", [b"", b"no graph", damaged, bytes(range(256)) * 9])
def test_another_graph_serves_the_same_engine(bundle, replace_file, noise, content):
    if callable(content):
        content = content((bundle / CORE).read_bytes())
    replace_file(bundle, CORE, content)
    with pytest.warns(ParityWarning, match=rf"now onnxruntime:waveform.fp32, as .*{CORE}: got"):
        separator = Separator.open(bundle, threads=1)
    with separator:
        result = separate(separator, noise)
        assert result.engine == "onnxruntime:waveform.fp32"
        assert len(result.replacements) == 1
        assert "onnxruntime" in [rejection.engine for rejection in separator.rejected]


def test_with_none_left_pytorch_serves_and_both_are_named(bundle, replace_file, noise):
    for name in (CORE, WAVEFORM):
        replace_file(bundle, name, b"no graph")
    with pytest.warns(ParityWarning, match=rf"now torch, as .*{CORE}: got .*{WAVEFORM}: got"):
        separator = Separator.open(bundle, threads=1)
    with separator:
        assert separate(separator, noise).engine == "torch"


@pytest.mark.parametrize("engine", ["onnxruntime:core.fp32", "onnxruntime"])
def test_the_engine_asked_for_is_an_error_when_all_its_graphs_are_broken(
    bundle, replace_file, engine
):
    for name in (CORE, WAVEFORM):
        replace_file(bundle, name, b"no graph")
    with pytest.raises(EngineError, match=r"fp32.onnx: got .* expected a graph"):
        Separator.open(bundle, engine, threads=1)


def test_the_command_line_says_it(bundle, replace_file, tmp_path, noise, capsys, monkeypatch):
    import soundfile

    from sgn_rt.cli import main

    replace_file(bundle, CORE, b"no graph")
    recording = tmp_path / "clip.wav"
    soundfile.write(recording, noise(1, 3000)[0], 8000)
    monkeypatch.setattr(
        sys,
        "argv",
        ["sgn-rt", "separate", str(recording), "-o", str(tmp_path / "out"), "--bundle", str(bundle),
         "--categories", "bell"],
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main sets its own
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 0
    assert f"warning: now onnxruntime:waveform.fp32, as onnxruntime: {CORE}: got" in (
        capsys.readouterr().err
    )


def test_a_graph_that_computes_something_else_is_replaced(bundle, replace_file, noise):
    """Whole, of the right hash and metadata, with other numbers: the start-up probe finds it."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string((bundle / CORE).read_bytes())
    for node in model.graph.node:
        if node.op_type == "Sigmoid":
            node.op_type = "Tanh"
    replace_file(bundle, CORE, model.SerializeToString())
    with (
        pytest.warns(ParityWarning, match=r"now onnxruntime:waveform.fp32, as .*parity stage"),
        Separator.open(bundle, threads=1) as separator,
    ):
        assert np.isfinite(separate(separator, noise).sources["bell"]).all()
