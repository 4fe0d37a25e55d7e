"""Bytes that kernels move, counted while they run, against what the GPU's report says of them."""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sgn_rt.checks.device.transforms import CheckLibrary
from sgn_rt.model.bundle import Bundle
from sgn_rt.tensorrt import roofline
from sgn_rt.tensorrt.plugins.kernels import WINDOW, Kernels, SampleFormat
from sgn_rt.tensorrt.plugins.polyphase import PolyphaseResampler
from sgn_rt.tensorrt.roofline import Load

from .conftest import HOST_NAME
from .harness import Host, HostLauncher

SOURCES, HEARD = 2, 16320


class Tally(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_longlong) for name in ("accesses", "asked", "bytes", "sectors")
    )


@dataclass
class Moved:
    """Of one kernel: bytes of sectors, loaded and stored; how often a byte is asked for; stores."""

    loaded: int
    stored: int
    loads_per_byte: float
    stores: int


@pytest.fixture(scope="module")
def library(build_driver, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plugins-tally")
    return build_driver(folder, HOST_NAME, {"SGN_RT_TALLY": "ON"})


@pytest.fixture(scope="module")
def load() -> Load:
    config = Bundle.open(None).config
    return Load(config=config, sources=SOURCES, heard=HEARD, sample_bytes=2)


class Counter:
    """Memory that is watched while a kernel runs."""

    def __init__(self, path: Path) -> None:
        self.host = Host(path)
        self.host.lib.sgn_test_tally.restype = Tally

    def __call__(self, work, *arrays: np.ndarray) -> Moved:
        """Of ``work``, which is given the addresses of copies of these."""
        with ExitStack() as stack:
            addresses = []
            for array in arrays:
                address, view = stack.enter_context(self.host.memory(array.nbytes))
                view[...] = array.view(np.uint8).ravel()
                addresses.append(address)
                self.host.lib.sgn_test_watch(ctypes.c_void_p(address), ctypes.c_size_t(len(view)))
            try:
                work(*addresses)
                tallies = [
                    [self.host.lib.sgn_test_tally(index, kind) for index in range(len(arrays))]
                    for kind in (0, 1)
                ]
            finally:
                self.host.lib.sgn_test_forget()
        loaded, stored = (sum(tally.sectors for tally in row) for row in tallies)
        asked = sum(tally.asked for tally in tallies[0])
        stores = sum(tally.accesses for tally in tallies[1])
        return Moved(loaded, stored, asked / sum(tally.bytes for tally in tallies[0]), stores)


@pytest.fixture
def count(library) -> Counter:
    return Counter(library)


@pytest.fixture
def moved(library, load, count) -> dict[str, Moved]:
    """Of each kernel, on the published model's window."""
    config, frames = load.config, load.config.frames
    rng = np.random.default_rng(0)
    mixture = rng.standard_normal(config.window_samples).astype(np.float32)
    spectrum = rng.standard_normal(load.spectrum // 4).astype(np.float32)
    plane, masks = np.zeros(load.plane, np.uint8), np.zeros(SOURCES * load.plane, np.uint8)
    rows = np.tile(spectrum, SOURCES)
    samples = np.tile(mixture, SOURCES)
    heard = np.zeros(SOURCES * HEARD, np.int16)
    window = np.array([(0, 0, 4001, 1)], WINDOW)
    transforms = CheckLibrary(library).open(config.n_fft, config.hop_length, config.frequency_bins)
    kernels = Kernels(library)
    try:
        return {
            "framing": count(
                lambda x, y: transforms.framing(x, y, (1, len(mixture)), 0), mixture, spectrum
            ),
            "log magnitude": count(
                lambda x, y: transforms.log_magnitude(x, y, (1, frames), 1e-5, half=True, stream=0),
                spectrum, plane,
            ),
            "masking": count(
                lambda x, m, y: transforms.masking(
                    x, m, y, (0, SOURCES), SOURCES, frames, half=True, stream=0
                ),
                spectrum, masks, rows,
            ),
            "overlap-add": count(
                lambda x, y: transforms.overlap_add(x, y, (0, SOURCES), len(mixture), 0),
                rows, samples,
            ),
            "finish": count(
                lambda x, w, y, f: kernels.finish(
                    sources=x, windows=w, out=y, flags=f, shape=(1, SOURCES, len(mixture)),
                    count=HEARD, form=SampleFormat.INT16, stream=0,
                ),
                samples, window, heard, np.zeros(1, np.int32),
            ),
        }  # fmt: skip
    finally:
        transforms.close()


@pytest.mark.parametrize(
    "kernel", ["framing", "log magnitude", "masking", "overlap-add", "finish"]
)  # fmt: skip
def test_kernels_move_what_the_report_says(moved, load, kernel):
    """Every byte once, in sectors of 32; some bins of spectrum and masks no tap meets."""
    said, found = roofline.kernel_bytes(load)[kernel], moved[kernel]
    assert 0.975 * said < found.loaded + found.stored < 1.001 * said


def test_what_is_asked_for_again_is_little_and_near(moved):
    """Served by the caches: frames and taps that overlap, a spectrum that all sources share."""
    asked = {name: found.loads_per_byte for name, found in moved.items()}
    assert asked["framing"] < 4.1  # a window is four hops
    assert max(asked["log magnitude"], asked["masking"], asked["finish"]) < 2.5
    assert asked["overlap-add"] < 1.01


@pytest.mark.parametrize(
    ("n_fft", "hop", "samples", "width"),
    [(1022, 256, 65280, 2), (1024, 256, 4096, 2), (1022, 255, 4080, 1)],
)
def test_samples_are_stored_in_pairs(library, count, n_fft, hop, samples, width):
    """Also where the padding is odd; not where frames begin at odd samples."""
    transforms = CheckLibrary(library).open(n_fft, hop, 64)
    rows = np.zeros((2, transforms.frames(samples), 2 * transforms.bins), np.float32)
    try:
        found = count(
            lambda x, y: transforms.overlap_add(x, y, (0, 2), samples, 0),
            rows, np.zeros((2, samples), np.float32),
        )  # fmt: skip
    finally:
        transforms.close()
    assert found.stores == 2 * samples / width


@pytest.mark.parametrize(("source", "target"), [(11025, 44100), (48000, 11025)])
def test_the_resampler_too(library, count, source, target):
    kernels = Kernels(library)
    resample = PolyphaseResampler(source, target, HostLauncher(kernels))
    filter_, outputs, rows = resample.filter, 4000, 4
    low, high = resample.source_span(0, outputs)
    samples = np.zeros((rows, high - low), np.float32)
    found = count(
        lambda x, c, p, s, y: kernels.resample(
            source=x, coefficients=c, places=p, spans=s, out=y, shape=(1, *samples.shape),
            count=outputs, filter_=filter_, stream=0,
        ),
        samples, filter_.coefficients, filter_.places, resample.span(0, low),
        np.zeros((rows, outputs), np.float32),
    )  # fmt: skip
    said = roofline.resampler_bytes(filter_, rows=rows, samples=high - low, count=outputs)
    assert 0.95 * said < found.loaded + found.stored < 1.01 * said
    # Four rows share each coefficient and neighbours share inputs, in the caches.
    assert found.loads_per_byte > 10
