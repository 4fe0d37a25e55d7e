"""The plugins' kernels as nvcc compiles them for the GPU at hand, and cuFFT, against float64."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.checks.device import reference
from sgn_rt.checks.device.reference import Case, decibels
from sgn_rt.checks.device.transforms import Transforms
from sgn_rt.checks.device.world import Bench, DeviceWorld
from sgn_rt.errors import EngineError, UnavailableError
from sgn_rt.model.config import ModelConfig
from sgn_rt.tensorrt.plugins.kernels import WINDOW, SampleFormat
from sgn_rt.tensorrt.plugins.polyphase import PolyphaseResampler, response
from sgn_rt.tensorrt.run.resampling import DeviceLauncher

LEAST_DB: Final = 100.0
"""Of spectra and sources in float32: cuFFT keeps about 120 dB, less where a length's large prime
factor needs Bluestein's algorithm."""
LEAST_LOG: Final = 1e-5
"""Largest difference of the network's input, computed from the kernels' own spectrum."""
HALF: Final = 2.0**-11
"""Float16's rounding, of the value."""
EPSILON: Final = 1e-5
CASES: Final = (
    Case(n_fft=1024, hop_length=256, samples=9999),
    Case(n_fft=512, hop_length=160, samples=7001, sources=11),
    # Odd length, a prime factor beyond 127, as many bins on the log axis as elsewhere, one window.
    Case(n_fft=401, hop_length=100, samples=4000),
    Case(n_fft=274, hop_length=64, samples=2000, log_bins=138),
    Case(n_fft=1022, hop_length=255, samples=1022, batch=1, sources=1),
)
SANITIZERS: Final = ("memcheck", "racecheck", "synccheck")
SANITIZED_EXIT: Final = 86


def model_case(config: ModelConfig) -> Case:
    """The model's own sizes."""
    return Case(
        n_fft=config.n_fft, hop_length=config.hop_length, samples=config.window_samples,
        log_bins=config.frequency_bins,
    )  # fmt: skip


def run_forward(
    world: DeviceWorld, bench: Bench, transforms: Transforms, case: Case, mixture: Float
) -> tuple[int, Float, dict[str, NDArray[Any]]]:
    """Spectrum [B, T, F, 2], where it lies, and the network's input in both types.

    Also run as a CUDA graph, which has to give the same bits.
    """
    rows = case.batch * case.frames
    given, spectrum = bench.put(mixture), bench.room(rows * transforms.row_bytes)
    work = bench.room(transforms.work_bytes(rows))
    shape = (case.batch, case.frames)
    plane = (case.batch, 1, case.log_bins, case.frames)
    outs = {dtype: bench.room(4 * int(np.prod(plane))) for dtype in ("float32", "float16")}
    transforms.plan(inverse=False, rows=rows)

    def run() -> None:
        stream = bench.stream.handle
        transforms.framing(given, spectrum, (case.batch, case.samples), stream)
        transforms.fft(inverse=False, rows=spectrum, count=rows, work=work, stream=stream)
        for dtype, out in outs.items():
            half = dtype == "float16"
            transforms.log_magnitude(spectrum, out, shape, EPSILON, half=half, stream=stream)

    def answers() -> list[NDArray[Any]]:
        found = bench.get(spectrum, (*shape, case.bins, 2), np.float32)
        return [found, *(bench.get(out, plane, dtype) for dtype, out in outs.items())]

    run()
    plain = answers()
    _expect_same_as_graph(world, bench, run, plain, answers)
    return spectrum, plain[0], dict(zip(outs, plain[1:], strict=True))


def run_inverse(
    world: DeviceWorld, bench: Bench, transforms: Transforms, case: Case, spectrum: int,
    masks: NDArray[Any],
) -> Float:  # fmt: skip
    """Sources [B, S, N] of masks and a spectrum that lies on the device; also as a CUDA graph."""
    items = case.batch * case.sources
    count = transforms.chunk_of(items, case.frames) * case.frames
    given, rows = bench.put(masks), bench.room(count * transforms.row_bytes)
    work = bench.room(transforms.work_bytes(count))
    out = bench.room(4 * items * case.samples)
    shape, half = (case.batch, case.sources, case.frames), masks.dtype == np.float16
    transforms.plan(inverse=True, rows=count)

    def run() -> None:
        transforms.inverse(
            spectrum, given, rows, out, work, shape, case.samples, half=half,
            stream=bench.stream.handle,
        )  # fmt: skip

    def answers() -> list[NDArray[Any]]:
        return [bench.get(out, (case.batch, case.sources, case.samples), np.float32)]

    run()
    plain = answers()
    _expect_same_as_graph(world, bench, run, plain, answers)
    return plain[0]


def _expect_same_as_graph(
    world: DeviceWorld, bench: Bench, run: Any, plain: Sequence[NDArray[Any]], answers: Any
) -> None:
    if not world.device.can_capture:
        return
    graph = world.device.capture(bench.stream, run)
    try:
        for _ in range(2):
            graph.launch(bench.stream)
        for got, expected in zip(answers(), plain, strict=True):
            if not np.array_equal(got, expected):
                raise EngineError(
                    "kernels as a CUDA graph: got other bits than without one, expected the same. "
                    "Please report this."
                )
    finally:
        graph.close()


def compare(world: DeviceWorld, case: Case) -> dict[str, Any]:
    """A row of the table: every step of one size.

    Raises
    ------
    EngineError
        If a step is beyond its limit, or the device fails.
    """
    mixture, masks = case.mixture(), case.masks()
    with world.bench() as bench:
        transforms = world.library.open(case.n_fft, case.hop_length, case.log_bins)
        try:
            place, spectrum, logs = run_forward(world, bench, transforms, case, mixture)
            waves = run_inverse(world, bench, transforms, case, place, masks)
            half_masks = masks.astype(np.float16)
            half = run_inverse(world, bench, transforms, case, place, half_masks)
            full = run_inverse(world, bench, transforms, case, place, half_masks.astype(np.float32))
        finally:
            bench.stream.synchronize()
            transforms.close()
    own = np.ascontiguousarray(spectrum).view(np.complex64)[..., 0].astype(np.complex128)
    exact = reference.spectra(case, mixture)
    wanted = reference.log_magnitudes(case, own, EPSILON)
    row: dict[str, Any] = {
        "size": str(case),
        "spectrum_db": decibels(own, exact),
        "log_difference": float(np.abs(logs["float32"] - wanted).max()),
        "half_log_difference": float(np.abs(logs["float16"] - wanted).max()),
        "sources_db": decibels(waves, reference.sources(case, own, masks)),
        "half_masks_db": decibels(half, full),
    }
    by_torch = reference.torch_spectra(case, mixture)
    if by_torch is not None:
        row["torch_stft_db"] = decibels(own, by_torch)
        row["torch_istft_db"] = decibels(waves, reference.torch_sources(case, own, masks))
    half_limit = LEAST_LOG + HALF * float(np.abs(wanted).max())
    limits = {"log_difference": LEAST_LOG, "half_log_difference": half_limit}
    bad = [
        f"{name} {value:.3g}" for name, value in row.items()
        if (name.endswith("_db") and not value >= LEAST_DB)
        or (name in limits and not value <= limits[name])
    ]  # fmt: skip
    if bad:
        raise EngineError(
            f"kernels, {case}: got {', '.join(bad)}, expected at least {LEAST_DB:g} dB, and a "
            f"difference of at most {LEAST_LOG:g} ({half_limit:.2g} in half precision). "
            "Please report this."
        )
    return row


def check_kernels(world: DeviceWorld) -> Mapping[str, Any]:
    """Every step of Stft and Istft at the model's size and others, alone and as CUDA graphs."""
    return {"sizes": [compare(world, case) for case in (model_case(world.config), *CASES)]}


def check_finish(world: DeviceWorld) -> Mapping[str, Any]:
    """The part heard in every format, against NumPy; and the flag of a window not finite."""
    kernels = world.kernels(world.library)
    rng = np.random.default_rng(0)
    batch, count, samples = 3, 1000, 4096
    values = (0.4 * rng.standard_normal((batch, 2, samples))).astype(np.float32)
    values[1, 1, 17] = np.nan  # outside of what is heard
    windows = np.zeros(batch, WINDOW)
    windows["start"], windows["gain"] = (0, 1027, samples - count), (0.5, 1.0, 1.5)
    heard = np.stack([
        values[i, :, row["start"] : row["start"] + count] * row["gain"]
        for i, row in enumerate(windows)
    ])  # fmt: skip
    figures = {}
    with world.bench() as bench:
        kernels.load()
        sources, table = bench.put(values), bench.put(windows)
        out, flags = bench.room(4 * heard.size), bench.room(4 * batch)
        for form in SampleFormat:
            kernels.finish(
                sources=sources, windows=table, out=out, flags=flags, shape=values.shape,
                count=count, form=form, stream=bench.stream.handle,
            )  # fmt: skip
            got = bench.get(out, heard.shape, form.dtype).astype(np.float64)
            wanted = heard.astype(form.dtype).astype(np.float64)
            if form.dtype == np.int16:
                wanted = np.clip(heard * np.float32(32768), -32768, 32767)
            most = {SampleFormat.INT16: 0.5, SampleFormat.DITHERED_INT16: 1.5}.get(form, 0.0)
            difference = float(np.abs(got - wanted).max())
            bad = bench.get(flags, (batch,), np.int32).tolist()
            if not difference <= most or bad != [0, 1, 0]:
                raise EngineError(
                    f"finish as {form.name.lower()}: got a difference of {difference:.3g} and "
                    f"flags {bad}, expected at most {most} and [0, 1, 0]. Please report this."
                )
            figures[form.name.lower()] = difference
    return figures


def check_resampler(world: DeviceWorld) -> Mapping[str, Any]:
    """From the caller's rate to the model's and back, against the filter in float64; in blocks."""
    rate = world.config.sample_rate
    launcher = DeviceLauncher(world.kernels(world.library), world.device)
    figures = {}
    try:
        for source, target in ((44100, rate), (rate, 44100), (48000, rate), (rate, 47999)):
            resampler = PolyphaseResampler(source, target, launcher)
            figures[f"{source} to {target} Hz, dB"] = _resampled(resampler)
    finally:
        launcher.close()
    return figures


def _resampled(resampler: PolyphaseResampler) -> float:
    filter_, count = resampler.filter, 2000
    first, last = resampler.source_span(0, count)
    rng = np.random.default_rng(count)
    signal = (0.3 * rng.standard_normal((2, last - first))).astype(np.float32)

    def span(start: int, stop: int) -> Float:
        low, high = resampler.source_span(start, stop)
        return resampler(signal[:, low - first : high - first], start, stop)

    whole = span(0, count)
    blocks = np.concatenate([span(0, 700), span(700, 701), span(701, count)], axis=1)
    if not np.array_equal(blocks, whole):
        raise EngineError(
            f"resampling by {filter_.up}/{filter_.down}: got other bits in blocks than as a whole, "
            "expected the same. Please report this."
        )
    places = rng.choice(count, 100, replace=False)
    centres = places[:, None] * (filter_.down / filter_.up)
    weights = response(np.arange(first, last) - centres, filter_.up, filter_.down)
    ratio = decibels(whole[:, places], signal.astype(np.float64) @ weights.T)
    if not ratio >= LEAST_DB:
        raise EngineError(
            f"resampling by {filter_.up}/{filter_.down}: got {ratio:.1f} dB, expected at least "
            f"{LEAST_DB:g}. Please report this."
        )
    return ratio


def check_sanitized(world: DeviceWorld) -> Mapping[str, Any]:
    """The kernels under compute-sanitizer: addresses, races in shared memory, barriers."""
    tool = shutil.which("compute-sanitizer") or shutil.which(
        "/usr/local/cuda/bin/compute-sanitizer"
    )
    if tool is None:
        raise UnavailableError(
            "compute-sanitizer: got none on PATH, expected it. It comes with the CUDA toolkit."
        )
    library, figures = world.library.path, {}
    for name in SANITIZERS:
        command = [
            tool, "--tool", name, "--error-exitcode", str(SANITIZED_EXIT),
            sys.executable, "-m", "sgn_rt.checks.device.sanitized", str(library),
        ]  # fmt: skip
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            check=False,
        )  # fmt: skip
        lines = done.stdout.strip().splitlines() or ["nothing"]
        if done.returncode != 0:
            end = "\n".join(lines[-40:])
            raise EngineError(
                f"compute-sanitizer, {name}: got exit status {done.returncode}, expected 0. "
                f"Please report this:\n{end}"
            )
        figures[name] = lines[-1]
    return figures
