"""``--device``: the GPUs that a command's engines run on."""

from __future__ import annotations

import io
import json
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from sgn_rt.errors import EngineError, UnavailableError


@pytest.fixture
def gpus(monkeypatch, fake_engine, config):
    """Two GPUs with an engine of TensorRT each, the second of which breaks at a call."""

    def there_are(breaks_at: int | None = None):
        opened = []

        def breaking(call, answer):
            if breaks_at is not None and call >= breaks_at:
                raise EngineError("tensorrt: got a broken GPU, expected a result. Do.")
            return answer

        def opener(spec, bundle, threads=None, *, device=None, gpu=None):
            opened.append((spec, device))
            if spec == "onnxruntime":
                return fake_engine(config, spec)
            if spec != "tensorrt" or device not in (0, 1):
                raise UnavailableError(f"{spec}: got no GPU {device}, expected one. Add it.")
            return fake_engine(config, spec, **({"fault": breaking} if device == 1 else {}))

        for place in ("engines.factory", "parity.service", "cli.doctor", "cli.parity"):
            monkeypatch.setattr(f"sgn_rt.{place}.open_engine", opener)
        monkeypatch.setattr("sgn_rt.engines.devices.count_devices", lambda: 2)
        return opened

    return there_are


@pytest.fixture
def recording(tmp_path, noise):
    path = tmp_path / "mix.wav"
    soundfile.write(path, noise(1, 30_000).T, 8000, subtype="FLOAT")
    return path


@pytest.mark.filterwarnings("default::sgn_rt.errors.ParityWarning")
@pytest.mark.parametrize("device", ["all", "0,1", "1, 0"])
def test_separate_on_several(gpus, run, bundle_folder, recording, tmp_path, monkeypatch, device):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main sets its own
    opened = gpus(breaks_at=3)
    done = run("separate", recording, "-o", tmp_path / "out", "--bundle", bundle_folder,
               "--engine", "tensorrt", "--device", device, "--json", "-")  # fmt: skip
    assert done.code == 0, done.err
    assert sorted(opened) == [("tensorrt", 0), ("tensorrt", 1)]
    assert done.err.count("GPU 1 of tensorrt is out of service") == 1
    (told,) = json.loads(done.out)["engine"]["replacements"]
    assert told.startswith("GPU 1 of tensorrt is out of service, as tensorrt: got a broken GPU")


def test_stream_on_one(gpus, run, bundle_folder, monkeypatch):
    opened = gpus()
    stdin = SimpleNamespace(buffer=io.BytesIO(np.zeros(9000, "<i2").tobytes()), isatty=bool)
    monkeypatch.setattr(sys, "stdin", stdin)
    done = run("stream", "--rate", 8000, "--categories", "bell", "--bundle", bundle_folder,
               "--engine", "tensorrt", "--device", "1")  # fmt: skip
    assert done.code == 0, done.err
    assert opened == [("tensorrt", 1)]


def test_doctor_looks_at_each(gpus, run, bundle_folder, monkeypatch):
    gpus()
    monkeypatch.setattr(
        "sgn_rt.cli.doctor.look_for_device", lambda number: f"GPU {number} is a fake"
    )
    report = json.loads(run("doctor", bundle_folder, "--device", "all", "--json", "-").out)
    assert report["gpus"] == ["no GPU: GPU 0 is a fake", "no GPU: GPU 1 is a fake"]
    found = report["engines"]
    assert found["tensorrt on GPU 0"]["usable"]
    assert found["tensorrt on GPU 1"]["usable"]
    assert "got no GPU 1" in found["onnxruntime-cuda on GPU 1"]["reason"]
    assert found["onnxruntime"]["usable"]
    assert "torch on GPU 0" not in found
    refused = run("doctor", bundle_folder, "--device", "1", "--gpu-report", "report.txt")
    assert refused.code == 2
    assert "--device: got it with --gpu-report" in refused.err


def test_parity_of_each(gpus, run, bundle_folder):
    opened = gpus(breaks_at=0)
    done = run("parity", bundle_folder, "--engine", "tensorrt", "--device", "0,1", "--json", "-")
    assert opened == [("tensorrt", 0), ("tensorrt", 1)]
    assert done.code == 2
    assert "sgn-rt: error: tensorrt on GPU 1: tensorrt: got a broken GPU" in done.err
    assert "tensorrt on GPU 0" in json.loads(done.out)["engines"]


def test_a_gpu_of_which_nothing_would_be_compared_is_refused(gpus, run, bundle_folder):
    """The CPU's figures under a GPU's number would pass for the GPU's."""
    opened = gpus()
    done = run("parity", bundle_folder, "--device", "0")
    assert done.code == 2
    assert "--device: got 0 for onnxruntime:core.fp32, which run on the CPU" in done.err
    assert opened == []


@pytest.mark.parametrize("command", ["separate", "parity", "bench"])
def test_an_engine_of_the_cpu_is_refused(run, command, recording, bundle_folder, tmp_path):
    first = (recording, "-o", tmp_path, "--bundle") if command == "separate" else ()
    done = run(command, *first, bundle_folder, "--engine", "onnxruntime", "--device", "0")
    assert done.code == 2
    assert "device: got 0 for onnxruntime, which runs on the CPU" in done.err


@pytest.mark.parametrize("text", ["", "one", "-1", "0,", "0;1", "1.0", "\u0661"])
def test_what_is_no_device(run, bundle_folder, text):
    done = run("parity", bundle_folder, "--device", text)
    assert done.code == 2
    assert "--device: got " in done.err
    assert "expected the number of a GPU" in done.err


def test_building_on_a_gpu_that_is_not_there(run, bundle_folder, monkeypatch):
    def refuse(ordinal):
        raise UnavailableError(f"GPU: got number {ordinal}, expected one from 0 to 1. Check it.")

    monkeypatch.setattr("sgn_rt.tensorrt.device.factory.open_device", refuse)
    monkeypatch.setattr("sgn_rt.tensorrt.bindings.load", lambda flavor: None)
    done = run("build", bundle_folder, "--flavor", "tensorrt", "--device", "7")
    assert done.code == 2
    assert "GPU: got number 7, expected one from 0 to 1" in done.err


def test_the_benchmark_opens_an_engine_on_each(gpus, bundle_folder, monkeypatch, tmp_path):
    from sgn_rt.benchmarks.rows import subjects
    from sgn_rt.model.bundle import Bundle

    opened = gpus()
    bundle = Bundle.open(bundle_folder)
    (subject,) = subjects.gather(["tensorrt"], bundle, 1, tmp_path, devices=(0, 1))
    assert subject.failure is None
    assert list(subject.engine.engines) == [0, 1]
    assert opened == [("tensorrt", 0), ("tensorrt", 1)]
    gpus(breaks_at=1)  # each is proved, on every window, and none is left out
    (subject,) = subjects.gather(["tensorrt"], bundle, 1, tmp_path, devices=(0, 1))
    assert "got a broken GPU" in subject.failure
