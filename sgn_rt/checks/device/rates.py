"""What the GPU is, what it moves, and what each kernel takes of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from sgn_rt.checks.device.cuda import CudaRuntime
from sgn_rt.checks.device.transforms import Transforms
from sgn_rt.checks.device.world import Bench, DeviceWorld
from sgn_rt.errors import SgnError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.plugin_part import UNUSED_EPSILON
from sgn_rt.tensorrt import roofline
from sgn_rt.tensorrt.device.factory import open_device
from sgn_rt.tensorrt.plugins.kernels import WINDOW, Kernels, SampleFormat
from sgn_rt.tensorrt.plugins.polyphase import PolyphaseResampler
from sgn_rt.tensorrt.roofline import Limits, Load

ATTRIBUTES: Final = (
    "MultiProcessorCount", "ClockRate", "MemoryClockRate", "GlobalMemoryBusWidth", "L2CacheSize",
    "MaxSharedMemoryPerMultiprocessor", "AsyncEngineCount", "MemoryPoolsSupported",
)  # fmt: skip
"""Of ``cudaDeviceAttr``; clocks in kHz, the bus in bits."""
COPY_BYTES: Final = 512 << 20
LINK_BYTES: Final = 64 << 20
REPEATS: Final = 20
BATCHES: Final = (1, 8)
SOURCES: Final = 11
RATE: Final = 44100
"""Of the recordings, Hz."""
IN_CHUNKS: Final = "inverse in chunks"
HEARD: Final = 4
"""The part heard: a window's length by this, as windows overlap to three quarters."""


def check_gpu(world: DeviceWorld) -> Mapping[str, Any]:
    """What the driver says of the GPU."""
    with world.device.current():
        free = world.device.free_bytes()
        found = world.cuda.attributes(ATTRIBUTES)
    bandwidth = roofline.memory_bandwidth(found)
    sheet = {} if bandwidth is None else {"memory_GB_per_s_by_clock_and_bus": bandwidth / 1e9}
    return {
        "gpu": f"{world.device.name}, {world.device.capability}, {world.device.layer}",
        "free_bytes": free,
        **found,
        **sheet,
    }


def measure_limits(world: DeviceWorld) -> Limits:
    """Copies on the device, and to and from the host."""
    device, cuda = world.device, world.cuda
    with world.bench() as bench:
        size = min(COPY_BYTES, device.free_bytes() // 4)
        source, target = bench.room(size), bench.room(size)

        def copy() -> None:
            device.copy(target, source, size, bench.stream)

        copied = cuda.seconds(bench.stream, copy, REPEATS)
        link = min(LINK_BYTES, size)
        staging = bench.pinned(link)

        def up() -> None:
            device.upload(target, staging, link, bench.stream)

        def down() -> None:
            device.download(staging, source, link, bench.stream)

        taken = [cuda.seconds(bench.stream, work, REPEATS) for work in (up, down)]
        sheet = roofline.memory_bandwidth(cuda.attributes(ATTRIBUTES))
    return Limits(
        data_sheet=sheet, copied=2 * size / copied, up=link / taken[0], down=link / taken[1]
    )


def limits_of(world: DeviceWorld) -> Limits:
    """As `measure_limits`, once."""
    if world.limits is None:
        world.limits = measure_limits(world)
    return world.limits


def check_bandwidth(world: DeviceWorld) -> Mapping[str, Any]:
    """What a copy on the device moves, and what goes over the link: the yardsticks."""
    limits = limits_of(world)
    measured = {"device_copy": limits.copied, "to_device": limits.up, "from_device": limits.down}
    figures = {f"{name}_GB_per_s": (rate or 0.0) / 1e9 for name, rate in measured.items()}
    if limits.data_sheet and limits.copied:
        figures["copy_of_clock_and_bus"] = limits.copied / limits.data_sheet
    return figures


def limits_here(config: ModelConfig) -> Limits:
    """What the GPU at hand moves; nothing is known where there is none, or none that answers."""
    try:
        return measure_limits(DeviceWorld(open_device(), config, CudaRuntime()))
    except SgnError:
        return Limits()


def load_of(config: ModelConfig, batch: int) -> Load:
    """A model's windows with as many sources as it has, at most `SOURCES`; a quarter heard."""
    sources = min(SOURCES, len(config.categories))
    return Load(config=config, batch=batch, sources=sources, heard=config.window_samples // HEARD)


def check_times(world: DeviceWorld) -> Mapping[str, Any]:
    """Every kernel by events against the bytes that it moves, and those against the yardstick."""
    limits = limits_of(world)
    kernels = world.kernels(world.library)
    figures: dict[str, Any] = {}
    for batch in BATCHES:
        load = load_of(world.config, batch)
        seconds = _kernel_seconds(world, kernels, load)
        in_chunks = seconds.pop(IN_CHUNKS)
        name = f"batch_{batch}_sources_{load.sources}"
        figures[name] = roofline.rows(load, limits, seconds)
        figures[f"{name}_us_per_window"] = 1e6 * sum(seconds.values()) / batch
        # Against its three kernels above, each over all sources: what the cache saves.
        figures[f"{name}_inverse_in_chunks_us_per_window"] = 1e6 * in_chunks / batch
        most = roofline.windows_per_second(load, limits)
        figures[f"{name}_windows_per_s_at_most"] = {k: round(v) for k, v in most.items()}
    work = kernels.fft_work()
    figures["fft_work_bytes_reserved"] = work.reserved_bytes
    figures["fft_work_bytes_wanted"] = work.wanted_bytes
    return figures


def check_resampler_times(world: DeviceWorld) -> Mapping[str, Any]:
    """Sample-rate conversion by events against the bytes that it moves, and its multiply-adds."""
    limits, kernels = limits_of(world), world.kernels(world.library)
    rate, load = world.config.sample_rate, load_of(world.config, max(BATCHES))
    figures: dict[str, Any] = {}
    with world.bench() as bench:
        # A mixture to the model's rate, and what is heard of all sources back.
        for source, target, rows, count in (
            (RATE, rate, load.batch, world.config.window_samples),
            (rate, RATE, load.batch * load.sources, load.heard * RATE // rate),
        ):
            resampler = PolyphaseResampler(source, target, lambda *_: np.empty((0, 0), np.float32))
            filter_, (first, last) = resampler.filter, resampler.source_span(0, count)
            shape = (load.batch, rows // load.batch, last - first)
            arguments: dict[str, Any] = {
                "source": bench.put(np.zeros(shape, np.float32)),
                "spans": bench.put(np.tile(resampler.span(0, first), load.batch)),
                "out": bench.room(4 * rows * count),
                "coefficients": bench.put(filter_.coefficients),
                "places": bench.put(filter_.places),
                "shape": shape, "count": count, "filter_": filter_,
                "stream": bench.stream.handle,
            }  # fmt: skip
            taken = world.cuda.seconds(
                bench.stream, partial(kernels.resample, **arguments), REPEATS
            )
            size = roofline.resampler_bytes(filter_, rows=rows, samples=last - first, count=count)
            figures[f"{source} to {target} Hz, {rows} rows"] = {
                "MB": size / 1e6,
                "us": 1e6 * taken,
                "GB/s": size / taken / 1e9,
                **({"of_limit": size / taken / limits.copied} if limits.copied else {}),
                "multiply_adds_G_per_s": rows * count * len(filter_.coefficients) / taken / 1e9,
            }
    return figures


def _kernel_seconds(world: DeviceWorld, kernels: Kernels, load: Load) -> dict[str, float]:
    config = load.config
    with world.bench() as bench:
        transforms = world.library.open(config.n_fft, config.hop_length, config.frequency_bins)
        try:
            work = _work_of(bench, transforms, kernels, load)
            return {
                name: world.cuda.seconds(bench.stream, work[name], REPEATS)
                for name in (*roofline.KERNELS, IN_CHUNKS)
            }
        finally:
            bench.stream.synchronize()
            transforms.close()


def _work_of(
    bench: Bench, transforms: Transforms, kernels: Kernels, load: Load
) -> dict[str, Callable[[], None]]:
    """Each kernel on data of the load's size, in the chunks that the plugins make."""
    config, stream = load.config, bench.stream.handle
    batch, sources, frames = load.batch, load.sources, config.frames
    epsilon = config.log_epsilon or UNUSED_EPSILON
    samples, items = config.window_samples, load.batch * load.sources
    chunk = transforms.chunk_of(items, frames)
    counts = {False: batch * frames, True: chunk * frames}
    for inverse, count in counts.items():
        transforms.plan(inverse=inverse, rows=count)
    rng = np.random.default_rng(0)
    mixture = bench.put((0.1 * rng.standard_normal((batch, samples))).astype(np.float32))
    spectrum, rows = bench.room(batch * load.spectrum), bench.room(items * load.spectrum)
    logs, masks = bench.room(batch * load.plane), bench.put(np.zeros(items * load.plane, np.uint8))
    work = bench.room(max(transforms.work_bytes(count) for count in counts.values()))
    out, finished = bench.room(items * load.samples), bench.room(items * load.samples)
    table, flags = bench.put(np.zeros(batch, WINDOW)), bench.room(4 * batch)

    def inverse_fft() -> None:
        for first in range(0, items, chunk):
            place = rows + min(first, items - chunk) * load.spectrum
            transforms.fft(inverse=True, rows=place, count=counts[True], work=work, stream=stream)

    return {
        "framing": lambda: transforms.framing(mixture, spectrum, (batch, samples), stream),
        "forward FFT": lambda: transforms.fft(
            inverse=False, rows=spectrum, count=counts[False], work=work, stream=stream
        ),
        "log magnitude": lambda: transforms.log_magnitude(
            spectrum, logs, (batch, frames), epsilon, half=load.half, stream=stream
        ),
        "masking": lambda: transforms.masking(
            spectrum, masks, rows, (0, items), sources, frames, half=load.half, stream=stream
        ),
        "inverse FFT": inverse_fft,
        "overlap-add": lambda: transforms.overlap_add(rows, out, (0, items), samples, stream),
        "finish": lambda: kernels.finish(
            sources=out, windows=table, out=finished, flags=flags, shape=(batch, sources, samples),
            count=load.heard, form=SampleFormat.FLOAT32, stream=stream,
        ),
        IN_CHUNKS: lambda: transforms.inverse(
            spectrum, masks, rows, out, work, (batch, sources, frames), samples, half=load.half,
            stream=stream,
        ),
    }  # fmt: skip
