"""What runs here is proved; what does not is told with the steps that lead to it."""

from __future__ import annotations

import json
import shlex

import pytest

from sgn_rt.checks.parts import GROUPS
from sgn_rt.cli import cli, doctor, gpu_window
from sgn_rt.cli.common import console
from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Bundle, embedded
from sgn_rt.tensorrt.device.factory import find_device
from sgn_rt.tensorrt.roofline import Limits


def test_what_runs_is_proved_and_what_does_not_says_why(run):
    report = json.loads(run("doctor", "--json", "-").out)
    assert {"soundfile", "soxr", "av"} <= set(report["packages"])
    assert report["engines"]["onnxruntime"]["usable"]
    assert report["engines"]["torch"]["usable"]
    (gpu,) = report["gpus"]
    assert gpu
    reason = report["engines"]["onnxruntime-cuda"]["reason"]
    assert "CUDAExecutionProvider" in reason
    assert 'pip install "onnxruntime-gpu>=' in reason


@pytest.mark.parametrize("engine", ["tensorrt", "tensorrt-rtx"])
def test_the_way_to_an_engine_begins_with_the_graph_that_is_not_there(run, engine):
    """The model that ships has no graph to build from: `sgn-rt build` of it would fail."""
    report = json.loads(run("doctor", "--json", "-").out)
    _, export, _, build, _ = report["engines"][engine]["reason"].split("`")
    for command, name in ((export, "export"), (build, "build")):
        program, found, *arguments = shlex.split(command)
        assert (program, found) == ("sgn-rt", name)
        parsed = cli.get_command(None, name).make_context(name, arguments).params
        if name == "export":
            assert parsed["checkpoint"] == embedded() / "checkpoint.safetensors"
            assert parsed["checkpoint"].is_file()
        else:
            assert parsed["flavor"] == engine
    # Of a graph that is not there nothing is built, and that is told in the same words.
    pytest.importorskip("tensorrt_rtx")
    refused = run("build", embedded(), "--flavor", "tensorrt-rtx", "--gpu", "sm89")
    assert refused.code == 2
    assert export in refused.err


@pytest.fixture
def no_gpu():
    device = find_device()
    if device is not None:
        pytest.skip(f"there is a GPU, {device.name}")


def test_why_there_is_no_gpu_is_told(run, monkeypatch, config):
    """Of a driver that is too old CUDA says what helps; of none, another thing."""

    def refuse(ordinal=None):
        raise EngineError("cudaGetDeviceCount: got cudaErrorInsufficientDriver, expected success.")

    monkeypatch.setattr("sgn_rt.tensorrt.device.factory.open_device", refuse)
    monkeypatch.setattr("sgn_rt.cli.doctor.ENGINES", ())
    out = " ".join(run("doctor").out.split())
    assert "no GPU: cudaGetDeviceCount: got cudaErrorInsufficientDriver, expected success." in out


def test_without_a_gpu_the_report_has_one_line_a_part(no_gpu, run, tmp_path):
    path = tmp_path / "report.txt"
    done = run("doctor", "--gpu-report", path)
    assert done.code == 1
    assert done.out == path.read_text()
    parts = [line for line in done.out.splitlines() if line.startswith("(")]
    headings = [line.partition(": does not apply: ")[0] for line in parts]
    assert headings == list(dict.fromkeys(group.part.heading for group in GROUPS))
    assert all("got" in line for line in parts)
    report = json.loads((tmp_path / "report.txt.json").read_text())
    assert {check["verdict"] for check in report["checks"]} == {"does not apply"}
    assert not report["held"]
    assert "..." in done.err
    # What was missing may be there by now: it is looked for again.
    assert run("doctor", "--gpu-report", path).err == done.err
    again = run("doctor", "--gpu-report", path, "--again", "--gpu-part", "tensorrt-rtx/graphs")
    assert again.err.splitlines() == ["tensorrt-rtx/graphs ..."]


def test_options_of_the_report_need_its_file(run):
    for options in (["--gpu-part", "device"], ["--again"]):
        done = run("doctor", *options)
        assert done.code == 2
        assert f"{options[0]}: got it without --gpu-report" in done.err


def test_what_a_window_moves_stands_beside_what_the_gpu_moves(monkeypatch, capsys):
    config = Bundle.open(None).config
    alone = gpu_window.moved_by_a_window(config)
    assert alone["sources"] == 11
    limits = Limits(copied=2e12, data_sheet=3e12, up=5e10, down=5e10)
    monkeypatch.setattr(gpu_window, "limits_here", lambda config: limits)
    moved = gpu_window.moved_by_a_window(config)
    (fft,) = [row for row in moved["kernels"] if row["kernel"] == "inverse FFT"]
    assert fft["least_us"] == pytest.approx(fft["MB"] / 2)
    gpu_window.show_moved(moved, console())
    shown = capsys.readouterr().out
    assert "What a window of 11 sources moves" in shown
    assert "GB/s: copy on the device 2000.0, by clock and bus 3000.0" in shown
    assert "windows/s at most: memory" in shown


def test_bytes_of_a_window_are_told_without_a_gpu(no_gpu, monkeypatch, run):
    monkeypatch.setattr(doctor, "ENGINES", ())
    done = run("doctor")
    assert "kernel" in done.out
    assert "inverse FFT" in done.out
    assert "least_us" not in done.out
    assert json.loads(run("doctor", "--json", "-").out)["gpu_window"]["GB_per_s"] == {}
