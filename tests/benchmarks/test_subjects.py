"""What is timed is proved first, and what fails has no time."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from sgn_rt.benchmarks import isolated, scenarios, suite
from sgn_rt.benchmarks.harness import Outcome
from sgn_rt.benchmarks.material import SAMPLE_RATE, write_recording
from sgn_rt.benchmarks.rows import plain
from sgn_rt.benchmarks.rows.subjects import Subject, gather, open_subject, prove
from sgn_rt.benchmarks.scenarios import ALL, PRESENT, SOUNDING, Setting, key
from sgn_rt.model.bundle import Bundle


@pytest.fixture(scope="module")
def bundle():
    return Bundle.open()


@pytest.fixture
def setting(bundle, tmp_path):
    return Setting(bundle=bundle, threads=2, folder=tmp_path)


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
    assert all(stage["passed"] for stage in subject.to_dict()["parity"].values())


def test_an_engine_beyond_its_limits_has_no_time(bundle, tmp_path, setting):
    pytest.importorskip("onnxruntime")
    engine = wrong_masks(open_subject("onnxruntime", bundle, 1, tmp_path))
    subject = prove("onnxruntime", engine, bundle)
    assert subject.engine is None
    assert subject.failure.startswith("parity: network: ")
    recording = tmp_path / "recording.wav"
    write_recording(recording, 0.02)
    outcome = scenarios.whole_files(
        [subject], setting, recording, repeats=1, warm_up=0, seed=0, tell=lambda done: None
    )
    assert outcome == Outcome({}, {})
    rows = suite._whole_files([subject], outcome, 1.2)
    assert list(rows) == [key("onnxruntime", choice) for choice in (ALL, SOUNDING, PRESENT)]
    for row in rows.values():
        assert row["failure"] == subject.failure
        assert "seconds" not in row
    windows = scenarios.windows([subject], setting, repeats=1, seed=0, tell=lambda done: None)
    assert windows == {}
    assert suite.best([subject]) is None


def test_ratios_are_taken_within_a_round():
    engine = object()  # only that there is one counts here
    subjects = [Subject(name="onnxruntime", engine=engine), Subject(name="torch", engine=engine)]
    seconds = {
        "onnxruntime/all": [1.0, 10.0],
        "torch/all": [2.0, 20.0],
        "torch/sounding": [1.0, 5.0],
        "torch/present": [2.0, 10.0],
    }
    rows = suite._whole_files(subjects, Outcome(seconds, {"onnxruntime/sounding": "broken"}), 180.0)
    assert rows["onnxruntime/all"]["to_reference"]["least"] == 2.0
    assert rows["onnxruntime/all"]["to_reference"]["most"] == 2.0
    assert rows["torch/sounding"]["to_all"]["median"] == 3.0
    assert rows["torch/present"]["to_sounding"]["median"] == 0.5
    assert rows["onnxruntime/sounding"]["failure"] == "broken"
    assert rows["torch/all"]["times_real_time"] == pytest.approx(180 / 11)


def test_what_is_not_here_is_no_failure(bundle, tmp_path):
    found = gather(["nonesuch"], bundle, 1, tmp_path)
    assert found[0].absent
    assert "nonesuch" in found[0].failure
    assert suite._whole_files(found, Outcome({}, {}), 1.0) == {}


def test_without_the_reference_there_are_no_ratios_to_it():
    rows = suite._whole_files(
        [Subject(name="onnxruntime", engine=object())], Outcome({"onnxruntime/all": [1.0]}, {}), 1.0
    )
    assert "to_reference" not in rows["onnxruntime/all"]


def test_the_plain_export_holds_parity(bundle, tmp_path):
    for module in ("torch", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module)
    (subject,) = gather([plain.NAME], bundle, 2, tmp_path)
    assert subject.failure is None
    chosen = np.array([5, 2])
    window = bundle.probe.mixture[:1]
    everything = subject.engine.separate(window, np.arange(len(bundle.config.categories)))
    two = subject.engine.separate(window, chosen)
    np.testing.assert_allclose(two.sources, everything.sources[:, chosen], atol=1e-6)
    assert subject.engine.separate(window, chosen[:0]).sources.shape[1] == 0


def test_the_recording_is_the_same_every_time(tmp_path):
    first, again, longer = (tmp_path / name for name in ("a.wav", "b.wav", "c.wav"))
    assert write_recording(first, 0.1) == round(0.1 * 60 * SAMPLE_RATE)
    write_recording(again, 0.1)
    write_recording(longer, 0.7)
    assert first.read_bytes() == again.read_bytes()
    sound, rate = soundfile.read(longer)
    assert (rate, sound.ndim, len(sound)) == (SAMPLE_RATE, 1, round(0.7 * 60 * SAMPLE_RATE))
    np.testing.assert_array_equal(soundfile.read(first)[0], sound[: round(6 * SAMPLE_RATE)])
    assert np.abs(sound[-SAMPLE_RATE:]).max() > 0.01


def test_memory_is_of_the_child_alone(bundle, tmp_path):
    pytest.importorskip("onnxruntime")
    held = np.ones(100 << 20, np.uint8)  # must not show in the child's figure
    here = isolated.peak_memory()
    assert here > held.nbytes
    recording = tmp_path / "recording.wav"
    write_recording(recording, 0.02)
    figures = isolated.memory(
        "onnxruntime", bundle.root, recording, threads=1, folder=tmp_path, named=True
    )
    assert 0 < figures["loaded"] <= figures["peak"]
    assert figures["seconds"] > 0
    failed = scenarios.memory(
        "nonesuch", Setting(bundle=bundle, threads=1, folder=tmp_path), recording
    )
    assert "nonesuch" in failed["failure"]


def test_cold_start_steps_add_up(bundle):
    pytest.importorskip("onnxruntime")
    steps = isolated.cold_start("onnxruntime", bundle.root, threads=1)
    total = steps.pop("total")
    assert list(steps) == ["interpreter", "import", "open", "first_window"]
    assert total == pytest.approx(sum(steps.values()))
    assert min(steps.values()) > 0


def test_phases_cover_the_time(bundle, tmp_path):
    pytest.importorskip("onnxruntime")
    recording = tmp_path / "recording.wav"
    write_recording(recording, 0.1)
    (subject,) = gather(["onnxruntime"], bundle, 1, tmp_path)
    found = scenarios.phases(
        subject, Setting(bundle=bundle, threads=1, folder=tmp_path), recording
    ).to_dict()
    assert {"network", "masks and inverse STFT", "resampling", "writing"} <= found["cpu_s"].keys()
    assert list(found["cpu_s"].values()) == sorted(found["cpu_s"].values(), reverse=True)
    assert not (tmp_path / "phases").exists()
