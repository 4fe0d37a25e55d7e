"""What the finish kernel computes, in NumPy, bit for bit: for tests, and for fakes of a device."""

from __future__ import annotations

import numpy as np

from sgn_rt.tensorrt.plugins.kernels import SampleFormat


def mixed(value: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def noise(window: np.ndarray, categories: np.ndarray, count: int) -> np.ndarray:
    """Of a window's part, shape = (categories, count), float32."""
    seed = mixed(window["seed"].reshape(1))
    keys = mixed(seed + categories.astype(np.uint64))[:, None]
    places = (int(window["position"]) + int(window["start"]) + np.arange(count)).astype(np.uint64)
    bits = mixed(keys + places * np.uint64(0x9E3779B97F4A7C15))
    first, second = bits >> np.uint64(40), (bits >> np.uint64(8)) & np.uint64(0xFFFFFF)
    return ((first.astype(np.int64) - second.astype(np.int64)) * 2.0**-24).astype(np.float32)


def finished(
    sources: np.ndarray,
    windows: np.ndarray,
    count: int,
    form: SampleFormat,
    categories: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """What the kernel writes: parts and flags."""
    owners = np.arange(sources.shape[1]) if categories is None else categories
    out = np.empty((*sources.shape[:2], count), form.dtype)
    for part, source, window in zip(out, sources, windows, strict=True):
        heard = source[:, window["start"] : window["start"] + count] * window["gain"]
        if out.dtype == np.int16:
            steps = heard * np.float32(32768)
            if form is SampleFormat.DITHERED_INT16:
                steps = steps + noise(window, owners, count)
            heard = np.fmin(np.fmax(np.rint(steps), -32768), 32767)
        if out.dtype == np.float16:
            heard = np.fmin(np.fmax(heard, -65504), 65504)
        part[...] = heard
    return out, (~np.isfinite(sources)).any((1, 2)).astype(np.int32)
