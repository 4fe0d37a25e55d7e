"""``sgn-rt separate``, on the model and the music that ship with the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.labelled_music import shipped_music
from sgn_rt.model.bundle import embedded

MIX = shipped_music() / "003.mix.flac"


def wav(path: Path, samples: np.ndarray, rate: int = 44100) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def test_separate_writes_what_is_present_and_says_so(run, tmp_path):
    result = run("separate", MIX, "-o", tmp_path / "out", "--json", tmp_path / "report.json")
    assert (result.code, result.err) == (0, "")
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["stems"]) == set(report["present"]) == {"piano", "tuba"}
    written = {path.name for path in (tmp_path / "out" / "003.mix").iterdir()}
    assert written == {"piano.wav", "tuba.wav", "sgn-rt.json"}
    info = soundfile.info(MIX)
    for stem in report["stems"].values():
        assert soundfile.info(stem).frames == info.frames
        assert soundfile.info(stem).samplerate == info.samplerate
        assert stem in result.out
    assert report["engine"]["name"] == "onnxruntime"
    assert report["parity"]["whole"]["passed"]
    assert set(report["timings_s"]) == {"load", "warm_up", "separate"}
    assert report["real_time_factor"] > 0


def test_stems_and_residual_add_up_in_flac_too(run, clip, tmp_path):
    result = run("separate", clip, "-o", tmp_path, "--categories", "tuba,piano", "--residual",
                 "--format", "flac")  # fmt: skip
    assert result.code == 0
    parts = [soundfile.read(path)[0] for path in (tmp_path / "clip").glob("*.flac")]
    assert len(parts) == 3
    # Three roundings to 24 bit.
    assert np.abs(sum(parts) - soundfile.read(clip)[0]).max() < 3 * 2.0**-23


def test_thresholds_come_from_a_file(run, clip, tmp_path):
    (tmp_path / "t.json").write_text('{"tuba": 1.0, "accordion": 0.0}')
    named = ("--thresholds", tmp_path / "t.json", "--json", "-")
    report = json.loads(run("separate", clip, "-o", tmp_path, *named).out)
    assert "accordion" in report["present"]
    assert "tuba" not in report["present"]
    both = run("separate", clip, "-o", tmp_path, *named, "--threshold", "0.5")
    assert both.code == 2
    assert "--threshold and --thresholds: got 0.5 and" in both.err
    (tmp_path / "t.json").write_text('{"thunder": 0.5}')
    unknown = run("separate", clip, "-o", tmp_path, *named)
    assert unknown.code == 2
    assert "thresholds: got 'thunder', expected names from accordion" in unknown.err


def test_json_to_stdout_is_nothing_but_json(run, clip, tmp_path):
    result = run("separate", clip, "-o", tmp_path, "--categories", "tuba", "--json", "-")
    assert json.loads(result.out)["stems"] == {"tuba": str(tmp_path / "clip" / "tuba.wav")}


def test_plot_draws_a_picture(run, clip, tmp_path):
    result = run("separate", clip, "-o", tmp_path, "--categories", "tuba", "--plot")
    assert result.code == 0
    picture = (tmp_path / "clip" / "overview.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_several_inputs_go_on_after_a_bad_one(run, clip, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    result = run("separate", bad, clip, "-o", tmp_path / "out", "--categories", "tuba",
                 "--json", tmp_path / "r.json")  # fmt: skip
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert str(bad) in result.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip"]
    assert len(json.loads((tmp_path / "r.json").read_text())) == 1


def test_a_report_that_cannot_be_written_is_refused_before_any_work(run, clip, tmp_path):
    (tmp_path / "r.json").mkdir()
    result = run("separate", clip, "-o", tmp_path / "out", "--json", tmp_path / "r.json")
    assert result.code == 2
    assert f"{tmp_path / 'r.json'}: got a folder, expected to write a file" in result.err
    assert not (tmp_path / "out").exists()


def test_an_excerpt(run, clip, tmp_path):
    result = run("separate", clip, "-o", tmp_path, "--categories", "tuba", "--start", "0.5",
                 "--duration", "0.25", "--residual")  # fmt: skip
    assert result.code == 0
    parts = [soundfile.read(path)[0] for path in (tmp_path / "clip").glob("*.wav")]
    assert np.abs(sum(parts) - soundfile.read(clip)[0][22050 : 22050 + 11025]).max() < 1e-6


def test_a_quiet_recording_is_heard_as_loud_as_the_model_was_trained(run, clip, tmp_path):
    sound, rate = soundfile.read(clip, dtype="float32")
    path = wav(tmp_path / "soft.wav", sound * 0.01, rate)
    told, reports = {}, {}
    for level in ("auto", "off", "-6"):
        command = ("separate", path, "-o", tmp_path, "--categories", "tuba", "--level", level)
        told[level] = run(*command, "--json", tmp_path / "r.json").out
        reports[level] = json.loads((tmp_path / "r.json").read_text())
    assert reports["auto"]["gain_db"] > 3
    assert f"with a gain of {reports['auto']['gain_db']:+.1f} dB" in told["auto"]
    assert (reports["off"]["gain_db"], reports["-6"]["gain_db"]) == (0.0, -6.0)
    assert "gain" not in told["off"]
    for wrong, told_of in (("loud", "level: got 'loud'"), ("200", "gain: got 200.0 dB")):
        bad = run("separate", path, "-o", tmp_path, "--level", wrong)
        assert bad.code == 2
        assert f"{told_of}, expected" in bad.err


def test_a_residual_alone_is_no_category(run, clip, tmp_path):
    result = run("separate", clip, "-o", tmp_path, "--residual", "--threshold", "1")
    assert result.code == 0
    assert [path.name for path in (tmp_path / "clip").glob("*.wav")] == ["residual.wav"]
    assert "No category counts as present" in result.out


def test_a_damaged_recording_is_salvaged_on_request(run, tmp_path):
    path = _truncated(tmp_path)
    command = ("separate", path, "-o", tmp_path / "out", "--categories", "tuba")
    assert run(*command).code == 2
    result = run(*command, "--salvage", "--json", tmp_path / "r.json")
    assert result.code == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert 0 < report["samples"] < soundfile.info(MIX).frames
    assert f"used as far as it goes: {report['salvaged']}" in result.out


def test_quiet_prints_nothing_and_verbose_more(run, clip, tmp_path):
    command = ("separate", clip, "-o", tmp_path, "--categories", "tuba")
    quiet, verbose = run(*command, "-q"), run(*command, "-vv")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert verbose.code == 0
    assert "tuba" in verbose.out
    assert "sgn-rt: " in verbose.err


def test_inputs_of_one_name_are_refused_before_any_work(run, clip, tmp_path):
    (tmp_path / "other").mkdir()
    twin = shutil.copy(clip, tmp_path / "other" / "clip.wav")
    result = run("separate", clip, twin, "-o", tmp_path / "out")
    assert result.code == 2
    assert "'clip.wav'" in result.err
    assert not (tmp_path / "out").exists()


def _empty(tmp_path: Path) -> Path:
    path = tmp_path / "bad.wav"
    path.touch()
    return path


def _truncated(tmp_path: Path) -> Path:
    path = tmp_path / "bad.flac"
    path.write_bytes(MIX.read_bytes()[:200_000])
    return path


def _text(tmp_path: Path) -> Path:
    path = tmp_path / "bad.wav"
    path.write_text("this is a letter")
    return path


BAD_INPUTS = {
    "empty file": (_empty, "does not read as audio"),
    "no samples": (lambda p: wav(p / "bad.wav", np.zeros(0)), "no samples"),
    "truncated": (_truncated, "bad.flac"),
    "text": (_text, "does not read as audio"),
    "missing": (lambda p: p / "bad.wav", "no such file"),
    "an empty folder": (lambda p: p, "got no recording in it"),
    "silence": (lambda p: wav(p / "bad.wav", np.zeros(44100)), "digital silence"),
    "nan": (lambda p: wav(p / "bad.wav", np.full(44100, np.nan)), "got nan"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_input_gives_one_line_and_leaves_nothing(run, tmp_path, name):
    make, words = BAD_INPUTS[name]
    out = tmp_path / "new" / "out"
    result = run("separate", make(tmp_path), "-o", out, "--json", tmp_path / "r.json")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert result.err.startswith("sgn-rt: error: ")
    assert words in result.err
    assert "expected" in result.err
    assert result.out == ""
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "r.json").exists()


BAD_OPTIONS = {
    "unknown category": (["--categories", "tuba,kazoo"], "'kazoo'"),
    "category twice": (["--categories", "tuba,tuba"], "twice"),
    "unknown engine": (["--engine", "abacus"], "'abacus'"),
    "engine that is not here": (["--engine", "onnxruntime-cuda"], "CUDAExecutionProvider"),
    "graph that is not here": (["--engine", "onnxruntime:waveform.fp16"], "waveform.fp16"),
    "no bundle": (["--bundle", "/nowhere"], "bundle.json"),
    "report under a device": (["--json", "/dev/null/deep/r.json"], "/dev/null/deep/r.json: got"),
    "report in the place of a folder": (["--json", "/"], "/: got a folder"),
    "lines in the place of a folder": (["--jsonl", "/tmp"], "/tmp: got a folder"),
    "report and lines in one place": (["--json", "-", "--jsonl", "-"], "--jsonl: got - for both"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_options_give_one_line_and_leave_nothing(run, clip, tmp_path, name):
    options, words = BAD_OPTIONS[name]
    result = run("separate", clip, "-o", tmp_path / "out", *options)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert words in result.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rate", [8000, 192_000])
@pytest.mark.parametrize("channels", [1, 6])
@pytest.mark.parametrize("frames", [1, 30_000])
def test_any_rate_channels_and_length(run, tmp_path, rate, channels, frames):
    rng = np.random.default_rng(frames)
    path = wav(tmp_path / "in.wav", 0.1 * rng.standard_normal((frames, channels)), rate)
    result = run("separate", path, "-o", tmp_path, "--categories", "cello")
    assert (result.code, result.err) == (0, "")
    info = soundfile.info(tmp_path / "in" / "cello.wav")
    assert (info.samplerate, info.channels, info.frames) == (rate, channels, frames)


def test_threshold_that_nothing_reaches_is_told(run, clip, tmp_path):
    result = run("separate", clip, "-o", tmp_path / "out", "--threshold", "1")
    assert result.code == 0
    assert "Lower --threshold" in result.out
    assert not (tmp_path / "out").exists()


def test_windows_are_checked_on_request(run, clip, tmp_path):
    pytest.importorskip("torch")
    options = ("--engine", "onnxruntime", "--categories", "tuba", "--check-every", 1)
    result = run("separate", clip, "-o", tmp_path, *options, "--json", "-")
    report = json.loads(result.out)
    assert result.code == 0
    assert report["checked_windows"] == report["engine"]["windows"]["onnxruntime"] > 0
    assert report["engine"]["replacements"] == []


def test_tampered_bundle_is_refused(run, clip, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(embedded(), bundle)
    graph = bundle / "core.fp32.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    result = run("separate", clip, "-o", tmp_path / "out", "--bundle", bundle)
    assert result.code == 2
    assert "SHA-256" in result.err
    assert result.err.count("\n") == 1
