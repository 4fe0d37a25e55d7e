"""The GPU's report, part (a), kernels: the host build's hold, and wrong ones are seen."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt._atomic import CACHE_VARIABLE
from sgn_rt.checks.device import build, kernel_checks, rates, reference
from sgn_rt.checks.device.cuda import CudaRuntime
from sgn_rt.checks.device.reference import Case
from sgn_rt.checks.device.transforms import CheckLibrary
from sgn_rt.errors import DependencyError, EngineError, PluginError, UnavailableError
from sgn_rt.tensorrt import roofline
from sgn_rt.tensorrt.device.factory import find_device
from sgn_rt.tensorrt.plugins.kernels import Kernels, SampleFormat

from .checked_device import Library, OnStream
from .conftest import missing

SMALL = Case(n_fft=274, hop_length=64, samples=2000, log_bins=138)


@pytest.fixture
def world(checked_world):
    return checked_world


@pytest.fixture
def device(checked_world):
    return checked_world.device


def test_kernels_hold_and_nothing_is_left(world, device):
    figures = kernel_checks.check_kernels(world)
    assert len(figures["sizes"]) == 3
    for row in figures["sizes"]:
        assert row["spectrum_db"] > 120
        assert row["torch_istft_db"] > 110
    formats = [form.name.lower() for form in SampleFormat]
    assert list(kernel_checks.check_finish(world)) == formats
    resampled = kernel_checks.check_resampler(world)
    assert len(resampled) == 4
    assert min(resampled.values()) > 110
    assert not any(device.live.values())
    assert device.counts["launch"] > 0


def test_the_inverse_is_checked_in_the_chunks_of_the_plugin(world, monkeypatch):
    """Chunks that do not divide the sources: the last is moved back, and every source is right."""
    chunks = []
    right = Library.call

    def call(self, function, *arguments):
        if function == "chunk":
            return 4
        if function == "masking":
            chunks.append(arguments[5:7])
        return right(self, function, *arguments)

    monkeypatch.setattr(Library, "call", call)
    assert kernel_checks.compare(world, replace(SMALL, batch=3))["sources_db"] > 110
    assert set(chunks) == {(0, 3), (3, 3), (6, 3)}
    chunks.clear()
    assert kernel_checks.compare(world, replace(SMALL, batch=1, sources=7))["sources_db"] > 110
    assert set(chunks) == {(0, 4), (3, 4)}


def test_the_reference_is_torchs():
    case = Case(n_fft=402, hop_length=67, samples=3001)
    mixture, masks = case.mixture(), case.masks()
    spectrum = reference.spectra(case, mixture)
    assert reference.decibels(spectrum, reference.torch_spectra(case, mixture)) > 250
    ours = reference.sources(case, spectrum, masks)
    assert reference.decibels(ours, reference.torch_sources(case, spectrum, masks)) > 250
    assert reference.decibels(np.full(3, np.nan), np.ones(3)) == -300


@pytest.mark.parametrize("step", ["framing", "fft", "masking", "overlap_add", "log_magnitude"])
def test_a_kernel_that_does_nothing_is_seen(world, monkeypatch, step):
    right = Library._work

    def wrong(self, function, arguments):
        return (lambda: None) if function == step else right(self, function, arguments)

    monkeypatch.setattr(Library, "_work", wrong)
    with pytest.raises(EngineError, match=r"kernels( as a CUDA graph|, 274/64, .*): got "):
        kernel_checks.compare(world, SMALL)


def test_a_graph_of_other_bits_is_seen(world, device, monkeypatch):
    capture = device.capture

    def wrong(stream, work):
        graph = capture(stream, work)
        graph.work.pop(0)
        graph.work.insert(0, lambda: None)
        graph.work.append(graph.work[1])  # an FFT in place, once more
        return graph

    monkeypatch.setattr(device, "capture", wrong)
    with pytest.raises(EngineError, match="as a CUDA graph: got other bits"):
        kernel_checks.compare(world, SMALL)


def test_a_finish_that_is_wrong_is_seen(world, monkeypatch):
    right = OnStream.finish

    def wrong(self, **arguments):
        right(self, **arguments | {"count": arguments["count"] - 1})

    monkeypatch.setattr(OnStream, "finish", wrong)
    with pytest.raises(EngineError, match="finish as float32: got a difference of"):
        kernel_checks.check_finish(world)


@pytest.mark.parametrize("code", [0, 86])
def test_what_the_sanitizer_says_is_told(world, monkeypatch, tmp_path, code):
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(f'#!/bin/sh\necho "$2 of $6 $7"\necho ERROR SUMMARY: 3\nexit {code}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    if code == 0:
        assert kernel_checks.check_sanitized(world) == dict.fromkeys(
            kernel_checks.SANITIZERS, "ERROR SUMMARY: 3"
        )
    else:
        with pytest.raises(EngineError, match=r"memcheck: got exit status 86(?s:.*)SUMMARY: 3"):
            kernel_checks.check_sanitized(world)


def test_a_machine_without_sanitizer_or_compiler_says_so(world, monkeypatch, fails, tmp_path):
    monkeypatch.setattr(kernel_checks.shutil, "which", lambda name: None)
    with fails(UnavailableError, "compute-sanitizer: got none on PATH"):
        kernel_checks.check_sanitized(world)
    with fails(DependencyError, "got no nvcc on PATH"):
        build.compile_library("sm90", tmp_path / "library.so")


def test_kernels_are_compiled_by_nvcc_alone_and_once(monkeypatch, tmp_path):
    if build.find_nvcc() is None:
        missing("no nvcc on PATH")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    path = build.kernel_library("sm80")
    library = CheckLibrary(path)
    assert Kernels(path)
    before = path.stat().st_mtime_ns
    assert build.kernel_library("sm80").stat().st_mtime_ns == before
    # No GPU here: it loads, and says so.
    if find_device() is None:
        with pytest.raises(EngineError, match="kernels: transforms: kernels of Stft: got"):
            library.open(512, 128, 64)


def test_a_compiler_that_fails_is_quoted(monkeypatch, tmp_path, fails):
    nvcc = tmp_path / "nvcc"
    nvcc.write_text("#!/bin/sh\necho no such architecture\nexit 1\n")
    nvcc.chmod(0o755)
    monkeypatch.setattr(build, "find_nvcc", lambda: str(nvcc))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    with fails(PluginError, "got exit status 1", "no such architecture"):
        build.kernel_library("sm80")
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_kernels_are_timed_against_what_the_device_moves(world):
    figures = rates.check_gpu(world)
    assert figures["gpu"] == "Fake GPU, sm89, fake 1.0"
    assert figures["memory_GB_per_s_by_clock_and_bus"] == 2 * 2e9 * 64 / 1e9
    yardsticks = rates.check_bandwidth(world)
    assert yardsticks["device_copy_GB_per_s"] == pytest.approx(200.0)  # read and written
    assert yardsticks["copy_of_clock_and_bus"] == pytest.approx(200 / 256)
    times = rates.check_times(world)
    table = times["batch_8_sources_3"]
    assert [row["kernel"] for row in table[: len(roofline.KERNELS)]] == list(roofline.KERNELS)
    for row in table[: len(roofline.KERNELS)]:
        assert row["us"] == pytest.approx(10.0)
        assert row["GB/s"] == pytest.approx(row["MB"] / 1e3 / 1e-5)
        assert row["of_limit"] == pytest.approx(row["GB/s"] / 200)
        assert row["least_us"] == pytest.approx(row["us"] * row["of_limit"])
    # A chunk of the inverse transform after the other: as many times as there are chunks.
    assert times["batch_8_sources_3_inverse_in_chunks_us_per_window"] == pytest.approx(10 / 8)
    assert times["batch_8_sources_3_us_per_window"] == pytest.approx(7 * 10 / 8)
    # Of the plan of this process, here or in another test, that wanted most of what it had.
    assert times["fft_work_bytes_reserved"] > 0
    assert times["fft_work_bytes_wanted"] > 0
    resampled = rates.check_resampler_times(world)
    rate = world.config.sample_rate
    assert list(resampled) == [f"44100 to {rate} Hz, 8 rows", f"{rate} to 44100 Hz, 24 rows"]
    for row in resampled.values():
        assert row["us"] == pytest.approx(10.0)
        assert row["of_limit"] == pytest.approx(row["MB"] / 1e3 / 1e-5 / 200)
        assert row["multiply_adds_G_per_s"] > 0
    assert not any(world.device.live.values())


def test_what_the_gpu_at_hand_moves_is_measured_where_there_is_one(world, monkeypatch):
    monkeypatch.setattr(rates, "open_device", lambda: world.device)
    monkeypatch.setattr(rates, "CudaRuntime", lambda: world.cuda)
    found = rates.limits_here(world.config)
    assert found.copied == pytest.approx(200e9)
    assert found.data_sheet == pytest.approx(256e9)

    def none():
        raise UnavailableError("GPU: got none, expected one. Check it.")

    monkeypatch.setattr(rates, "open_device", none)
    assert rates.limits_here(world.config) == roofline.Limits()


def test_the_clock_is_the_devices_and_its_statuses_are_read():
    """As cuda-python answers: a status, then what there is."""
    log = []

    class Module:
        cudaMemcpyKind = SimpleNamespace(cudaMemcpyDeviceToDevice=3)
        cudaDeviceAttr = SimpleNamespace(cudaDevAttrClockRate=13, cudaDevAttrL2CacheSize=38)

        def __getattr__(self, name):
            def call(*arguments):
                log.append(name)
                answers = {
                    "cudaEventCreate": (0, len(log)),
                    "cudaEventElapsedTime": (0, float(len(log) % 7)),
                    "cudaGetDevice": (0, 0),
                    "cudaDeviceGetAttribute": (0, 5) if arguments[:1] == (13,) else (1, None),
                }
                return answers.get(name, (0,))

            return call

    runtime = CudaRuntime(Module())
    stream = SimpleNamespace(handle=7)
    runs = []
    assert runtime.seconds(stream, lambda: runs.append(1), 4) > 0
    assert len(runs) == 1 + 5 * 4
    assert log.count("cudaEventDestroy") == 2
    assert runtime.attributes(["ClockRate", "L2CacheSize", "Unknown"]) == {"ClockRate": 5}
    broken = SimpleNamespace(cudaEventCreate=lambda: (700, None))
    with pytest.raises(EngineError, match="cudaEventCreate: got 700"):
        CudaRuntime(broken).seconds(stream, lambda: None, 1)


@pytest.mark.parametrize("wrong", ["samples", "blocks"])
def test_a_resampler_that_is_wrong_is_seen(world, monkeypatch, wrong):
    right = OnStream.resample

    def resample(self, **arguments):
        if wrong == "samples" or arguments["count"] == 1:
            arguments["count"] -= 1
        if arguments["count"]:
            right(self, **arguments)

    monkeypatch.setattr(OnStream, "resample", resample)
    reason = "got other bits in blocks" if wrong == "blocks" else "got (other bits|-?[0-9.]+ dB)"
    with pytest.raises(EngineError, match=f"resampling by .*: {reason}"):
        kernel_checks.check_resampler(world)


def test_cuda_python_has_what_is_asked_of_it():
    runtime = pytest.importorskip("cuda.bindings.runtime")
    for name in rates.ATTRIBUTES:
        assert hasattr(runtime.cudaDeviceAttr, f"cudaDevAttr{name}"), name
    if find_device() is None:
        with pytest.raises(EngineError, match="cudaEventCreate: got "):
            CudaRuntime(runtime).seconds(SimpleNamespace(handle=0), lambda: None, 1)
