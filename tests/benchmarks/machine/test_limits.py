"""Bounds and phases: counts that are known, and separations whose time the test does not see."""

from __future__ import annotations

import threading
import time

import pytest

from sgn_rt.benchmarks.machine import phases
from sgn_rt.benchmarks.machine.limits import limits_of, on_cpu, on_device, on_gpu
from sgn_rt.benchmarks.machine.peaks import Peaks, measure
from sgn_rt.benchmarks.machine.phases import KINDS, Profile, profile
from sgn_rt.benchmarks.machine.work import Work, work_of
from sgn_rt.benchmarks.result import Row
from sgn_rt.benchmarks.rows.subjects import separator
from sgn_rt.model.bundle import Bundle
from sgn_rt.tensorrt import roofline


def test_the_work_of_a_network_by_hand(small_config):
    """A level more of the transformer is its four products, and attention's two."""
    pytest.importorskip("torch")
    one, two = (work_of(small_config(transformer_depth=depth)) for depth in (1, 2))
    config = small_config()
    width = config.embedding_dim
    tokens = config.tokens + len(config.categories)
    products = 2 * tokens * width * width * (3 + 1 + 4 + 4)  # qkv, output, up, down
    attention = 2 * 2 * tokens * tokens * width
    assert two.flop - one.flop == products + attention
    assert two.bytes > one.bytes > 4 * config.frequency_bins * config.frames


def test_peaks_are_measured_in_a_process_of_their_own():
    found = measure(1, quick=True)
    assert found.flops > 0
    assert found.bytes_per_s > 0
    assert "NumPy" in found.how["arithmetic"]
    assert "1 thread, processor time" in found.how["memory"]


PEAKS = Peaks(flops=100.0, bytes_per_s=10.0, how={"arithmetic": "a product", "memory": "a copy"})


def test_a_row_on_the_cpu():
    of_row = on_cpu(Work(flop=50, bytes=2), PEAKS)
    cpu_s = {"network": 8.0, "dsp": 2.0, "copies": 0.0, "files": 0.0, "rest": 0.0}
    found = Profile(wall_s=5.0, cpu_s=cpu_s, threads=2)
    assert found.busy == 1.0
    # Four windows, and two threads that had them to themselves: a second each.
    limits = limits_of(Row(name="onnxruntime", kind="engine"), found, 4, of_row)
    assert limits.shares["network"] == pytest.approx(0.8)
    arithmetic = limits.roofline["arithmetic"]
    assert (arithmetic["need_s"], arithmetic["took_s"]) == (0.5, 1.0)
    assert arithmetic["how"] == "a product"
    assert limits.roofline["memory"]["need_s"] == 0.2
    assert "bound by arithmetic: it runs at 50%" in limits.words
    assert on_cpu(None, PEAKS) == {}


def test_a_row_on_a_gpu(small_config):
    config = small_config()
    load = roofline.Load(config=config, batch=2, sources=3, heard=100)
    gpu = roofline.Limits(copied=1e9, up=1e6, down=1e9)
    bounds = on_device(load, gpu)
    there = roofline.link_bytes(load)["to the device"] / 2
    assert bounds["transfer"]["need_s"] == pytest.approx(there / 1e6)
    assert bounds["memory"]["need_s"] == pytest.approx(
        sum(roofline.kernel_bytes(load).values()) / 2 / 1e9
    )
    assert on_device(load, roofline.Limits()) == {}
    profiled = Profile(
        wall_s=4 * there / 1e6, threads=8,
        cpu_s=dict.fromkeys(KINDS, 0.0) | {"network": 0.1 * there / 1e6},
    )  # fmt: skip
    limits = limits_of(Row(name="tensorrt", kind="engine"), profiled, 4, bounds)
    assert "bound by transfer: it runs at 100%" in limits.words


@pytest.mark.parametrize(("name", "expected"), [
    ("onnxruntime:core.fp32", False), ("torch-compile", False), ("openvino", False),
    ("tensorrt", True), ("onnxruntime-cuda", True), ("torch-cuda-half", True),
    ("tensorrt-onnx-stft", True), ("torch-tensorrt", True),
])  # fmt: skip
def test_which_rows_are_of_a_gpu(name, expected):
    assert on_gpu(name) is expected


def test_phases_add_up_to_the_process(mask_engine, fake_engine, config, bundle_folder, tmp_path):
    import numpy as np
    import soundfile

    path = tmp_path / "music.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(80_000), 16_000)
    bundle = Bundle.open(bundle_folder)
    for engine in (mask_engine(config), fake_engine(config)):
        with separator(engine, bundle, 2) as opened:
            found = profile(engine, lambda: opened.separate_to(path, tmp_path / "out"), 2)
        assert tuple(found.cpu_s) == KINDS
        assert sum(found.shares.values()) == pytest.approx(1.0)
        assert 0 < found.busy <= 1
        for kind in ("network", "dsp", "copies", "files"):
            assert found.cpu_s[kind] > 0, (engine, kind)
        assert "separate" not in vars(type(engine))  # nothing stays patched


def test_what_nobody_used(tmp_path):
    (tmp_path / "proc").mkdir()
    stat = tmp_path / "proc/stat"
    stat.write_text("cpu  10 0 10 50 5 0 0 25 7 0\ncpu0 1 2 3 4\n")
    before = phases._processors(tmp_path)
    assert before == (55, 100)
    stat.write_text("cpu  40 0 40 60 15 0 0 45 9 0\n")
    assert phases._idle(before, phases._processors(tmp_path)) == pytest.approx(0.2)
    assert phases._idle(before, before) is None
    assert phases._processors(tmp_path / "none") is None


def test_a_call_within_a_call_counts_once(monkeypatch):
    clock = iter([0.0, 1.0, 4.0, 10.0])
    monkeypatch.setattr(phases.time, "thread_time", lambda: next(clock))
    meter = phases._Meter()
    inner = meter.timed("dsp", lambda: None)
    meter.timed("network", lambda: inner())()
    assert meter.cpu_s == {"dsp": 3.0, "network": 7.0}


def test_only_threads_that_are_not_pythons_are_an_engines():
    if not phases._TASKS.is_dir():
        pytest.skip("not on Linux")
    before = phases._engine_threads_s()
    over = threading.Event()

    def work():
        until = time.thread_time() + 0.3
        while time.thread_time() < until:
            pass
        over.set()
        assert hold.wait(60)

    hold = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    assert over.wait(60)
    try:
        assert phases._engine_threads_s() - before < 0.15  # nothing of this one
    finally:
        hold.set()
        thread.join()
