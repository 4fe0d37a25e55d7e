"""The kernel that writes the part heard, against NumPy, bit for bit."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sgn_rt._types import Part
from sgn_rt.engines.tensorrt_engine import TensorRTEngine
from sgn_rt.errors import EngineError, PluginError
from sgn_rt.tensorrt.plugins.kernels import WINDOW, Kernels, SampleFormat

from ..finish import finished
from .harness import Host


@pytest.fixture
def finish(host: Host, host_library: Path):
    """Runs the kernel on memory of exactly the size needed: its parts and flags."""
    kernels = Kernels(host_library)
    kernels.load()

    def run(sources, windows, count, form, offset=0):
        shape = (*sources.shape[:2], count)
        with ExitStack() as stack:
            given, view = stack.enter_context(host.memory(sources.nbytes + offset * 4))
            view[offset * 4 :].view(np.float32)[...] = sources.ravel()
            table, rows = stack.enter_context(host.memory(windows.nbytes))
            rows[...] = windows.view(np.uint8)
            size = int(np.prod(shape)) * form.dtype.itemsize
            place = offset * form.dtype.itemsize
            written, out = stack.enter_context(host.memory(size + place))
            marks, flags = stack.enter_context(host.memory(4 * len(sources)))
            kernels.finish(
                sources=given + 4 * offset, windows=table, out=written + place, flags=marks,
                shape=sources.shape, count=count, form=form, stream=0,
            )  # fmt: skip
            parts = out[place:].view(form.dtype).reshape(shape).copy()
            return parts, flags.view(np.int32).copy()

    return run


def table(starts, seed=7):
    windows = np.zeros(len(starts), WINDOW)
    windows["start"] = starts
    windows["gain"] = np.linspace(0.5, 1.5, len(starts))
    windows["position"] = np.arange(len(starts)) * 1000 - 300
    windows["seed"] = seed
    return windows


def music(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (0.6 * rng.standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("form", SampleFormat)
@pytest.mark.parametrize(
    ("samples", "count", "starts"),
    [
        (4096, 1024, (0, 4, 1027, 3072)),
        (4096, 1023, (0, 1, 2, 3)),
        (4095, 1024, (5, 3071, 0, 8)),
        (4096, 4096, (0, 0)),
        (1, 1, (0,)),
        (7, 3, (4, 1)),
        (65280, 16384, (24447,)),
    ],
)
def test_equals_numpy(finish, form, samples, count, starts):
    """Starts and sizes that load and store in fours, and such that cannot; clipped samples too."""
    sources = music((len(starts), 3, samples), seed=samples + count)
    windows = table(starts)
    expected, flags = finished(sources, windows, count, form)
    for offset in (0, 1):
        got, marks = finish(sources, windows, count, form, offset)
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(marks, flags)
    assert not flags.any()
    if form.dtype == np.int16 and samples > 7:
        assert {np.abs(expected.astype(int)).max()} <= {32767, 32768}, "something was clipped"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 41, 500, 1022])
def test_every_sample_of_a_window_counts(finish, value, at):
    """Also those that are not heard, of any source; and no other window is blamed."""
    sources = music((3, 2, 1023))
    sources[1, 1, at] = value
    got, flags = finish(sources, table([400, 399, 0]), 200, SampleFormat.FLOAT32)
    assert flags.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(got[0], sources[0, :, 400:600] * np.float32(0.5))


def test_the_largest_number_is_finite(finish):
    sources = np.full((1, 1, 64), np.finfo(np.float32).max, np.float32)
    assert finish(sources, table([0]), 64, SampleFormat.FLOAT32)[1].tolist() == [0]


def test_float16_ends_with_its_largest_number_not_with_infinity(finish):
    windows = table([0])
    windows["gain"] = 2
    sources = np.array([1.0, 40_000, -40_000, 1e9], np.float32).reshape(1, 1, 4)
    got, flags = finish(sources, windows, 4, SampleFormat.FLOAT16)
    assert got.ravel().tolist() == [2, 65504, -65504, 65504]
    assert flags.tolist() == [0]


def test_halves_go_to_the_even_step(finish):
    steps = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 40000, -40000, 3], np.float32)
    windows = table([0])
    windows["gain"] = 1
    got, _ = finish((steps / 32768).reshape(1, 1, 8), windows, 8, SampleFormat.INT16)
    assert got.ravel().tolist() == [0, 2, 2, 0, -2, 32767, -32768, 3]


def test_dither_is_triangular_and_reproducible(finish):
    """A constant between two steps comes out right in the mean, with the variance of TPDF."""
    windows = table([0])
    windows["gain"] = 1
    sources = np.full((1, 2, 65536), 0.3 / 32768, np.float32)
    got, _ = finish(sources, windows, 65536, SampleFormat.DITHERED_INT16)
    error = got - 0.3
    assert abs(error.mean()) < 0.01
    # Of the noise 1/6, of the rounding 1/12; the total does not depend on the signal.
    assert abs(error.var() - 0.25) < 0.01
    assert abs(np.corrcoef(error[0, 0], error[0, 1])[0, 1]) < 0.02, "sources share their noise"
    assert abs(np.corrcoef(error[0, 0, 1:], error[0, 0, :-1])[0, 1]) < 0.02
    again, _ = finish(sources, windows, 65536, SampleFormat.DITHERED_INT16)
    np.testing.assert_array_equal(again, got)
    windows["seed"] += 1
    other, _ = finish(sources, windows, 65536, SampleFormat.DITHERED_INT16)
    assert (other != got).mean() > 0.3


def test_noise_belongs_to_the_sample_not_to_the_call(finish):
    """Two windows over one place of a signal, alone and together: the same samples."""
    signal = music((1, 2, 3000))
    windows = table([700, 200])
    windows["position"] = [0, 500]
    windows["gain"] = 1
    both = np.concatenate([signal[..., :2000], signal[..., 500:2500]])
    got, _ = finish(both, windows, 333, SampleFormat.DITHERED_INT16)
    np.testing.assert_array_equal(got[0], got[1])
    alone, _ = finish(both[1:], windows[1:], 300, SampleFormat.DITHERED_INT16)
    np.testing.assert_array_equal(alone[0], got[1, :, :300])


@pytest.mark.parametrize("start", [-5, 90, 2**30])
def test_a_part_beyond_its_window_stays_in_memory(finish, start):
    """Starts lie on the device, where nobody checks them."""
    sources = music((1, 1, 100))
    got, _ = finish(sources, table([start]), 20, SampleFormat.FLOAT32)
    moved = min(max(start, 0), 80)
    np.testing.assert_array_equal(got[0, 0], sources[0, 0, moved : moved + 20] * np.float32(0.5))


def test_nothing_to_finish(finish):
    got, flags = finish(np.empty((2, 0, 64), np.float32), table([0, 0]), 8, SampleFormat.INT16)
    assert (got.shape, flags.tolist()) == ((2, 0, 8), [0, 0])
    got, flags = finish(np.empty((0, 3, 64), np.float32), table([]), 8, SampleFormat.INT16)
    assert (got.size, flags.size) == (0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0}, {"count": 65}, {"shape": (1, 1, 0)}, {"shape": (-1, 1, 64)},
        {"sources": 2}, {"windows": 4}, {"categories": 4}, {"out": 2}, {"flags": 2},
        {"shape": (1 << 20, 1 << 20, 64)},
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(host, host_library, wrong):
    right = {
        "sources": 256, "windows": 256, "out": 256, "flags": 0, "shape": (0, 1, 64), "count": 64,
        "form": SampleFormat.FLOAT32, "stream": 0,
    }  # fmt: skip
    kernels = Kernels(host_library)
    kernels.finish(**right)
    refused = pytest.raises(EngineError, match=r"finish of sources .* samples as float32: got")
    with host.memory(4 << 20) as (flags, _), refused:
        kernels.finish(**right | {"flags": flags} | wrong)


def test_a_device_without_kernels_is_named(host, host_library):
    host.settings.fail_load = 1
    with pytest.raises(EngineError, match=r"kernels of the plugin library: got .*CUDA error 209"):
        Kernels(host_library).load()


def test_another_library_is_refused(tmp_path):
    with pytest.raises(PluginError, match="expected this version's functions"):
        Kernels(tmp_path / "none.so")
    with pytest.raises(PluginError, match="sgn_rt_status_text"):
        Kernels(Path("libm.so.6"))


class InStream:
    """The library's own kernel, in the order of a fake device's streams."""

    def __init__(self, kernels, device):
        self._kernels, self._device = kernels, device

    def finish(self, *, stream, **arguments):
        work = partial(self._kernels.finish, stream=0, **arguments)
        self._device.streams[stream].give(work)


@pytest.mark.parametrize("name", ["float32", "float16", "int16", "dithered-int16"])
def test_an_engine_answers_by_it_as_by_its_emulation(
    host_library, bundle, pair, device, config, name
):
    windows, categories = music((6, config.window_samples)), np.array([2, 0])
    parts = [Part(5 * row, 700, 0.5 + row, name, 1000 * row, row % 2) for row in range(6)]
    kernels = Kernels(host_library)
    kernels.load()
    heard = []
    for finishing in (pair.kernels, InStream(kernels, device)):
        engine = TensorRTEngine("tensorrt", bundle, replace(pair, kernels=finishing))
        answers = [engine.answer(windows, categories, categories, parts) for _ in range(3)]
        heard.append([sources for _, sources in answers[-1]])
        with pytest.raises(EngineError, match=r"non-finite numbers in windows \[1\] of 2"):
            windows[5, -1] = np.nan
            engine.answer(windows, categories, categories, parts)
        windows[5, -1] = 0.0
    for ours, emulated in zip(*heard, strict=True):
        assert ours.dtype == emulated.dtype
        np.testing.assert_array_equal(ours, emulated)
