"""The level of a recording, and the gain that brings it to where a network was trained.

A network learnt from a range of levels misses categories, and invents others, outside of it. The
range is a fact of the model, as the RMS of a window of the network. Here the same is measured of
what sounds in a recording, in one pass, in constant memory, as loudness meters do (ITU-R BS.1770-4:
an absolute gate, then one relative to what is left), so that neither silence nor pauses decide.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.errors import AudioError

PARTS = 64
"""Of a window (0.09 s of the published model's), whose power is taken one by one."""
CLICK_PARTS = 3
"""The loudest of them that do not count: a click, or a knock of a quarter of a second, is no sound
to separate, and its one window would outweigh minutes of quiet music."""
SILENCE_DBFS = -90.0
"""Below it a window is silent: the noise of 16-bit samples themselves lies at -101 to -96 dBFS."""
GATE_DB = 10.0
"""Windows so far below the mean of all are pauses: the relative gate of BS.1770-4."""
RUNNING_WINDOWS = 10
"""Of a stream, over which its level is watched: a minute of the published model's."""
LEAST_WINDOWS = 3
"""Of a stream, that have to sound before its level says anything."""

_LOWEST, _HIGHEST, _PER_DB = -120, 220, 10
"""Range and resolution of the histogram, in dB and per dB."""

TrainingLevel = tuple[float, float]
"""Lowest and highest RMS of a window over which a network was trained, dBFS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelMeasure:
    """What was measured.

    Attributes
    ----------
    dbfs
        RMS of the windows that sound, dBFS (a full-scale square wave has 0); None for silence.
    windows
        How many they are, over all channels.
    """

    dbfs: float | None
    windows: int


def measure_level(blocks: Iterable[Float], window_samples: int) -> LevelMeasure:
    """Measure the level of what sounds in a recording.

    Every channel is a signal of its own, as for the network: a silent one counts as a pause does.

    Parameters
    ----------
    blocks
        The recording, shape = (channels, any number of samples), floating point, full scale 1.
    window_samples
        Of a window of the network, at the recording's rate.

    Raises
    ------
    AudioError
        If a window has no samples.
    """
    meter, counts = _WindowMeter(window_samples), _Histogram()
    for block in blocks:
        for powers in meter.feed(block):
            counts.add(powers)
    counts.add(meter.rest())
    return counts.level()


def gain_db(measure: LevelMeasure, training_level: TrainingLevel | None) -> float:
    """The gain that brings a recording into the range of training, dB.

    Outside of the range it is brought to the middle, not to the edge: passages softer and louder
    than the whole lie around its level, and should be within, too.

    Parameters
    ----------
    measure
        Of the recording.
    training_level
        Of the model; None where it claims nothing.

    Returns
    -------
    float
        0.0 for a level within the range, for silence, and for a model without a claim.
    """
    if training_level is None or measure.dbfs is None:
        return 0.0
    low, high = training_level
    return 0.0 if low <= measure.dbfs <= high else (low + high) / 2 - measure.dbfs


class RunningLevel:
    """Watches the level of a stream, which is heard as it is: says once that it leaves the range.

    Parameters
    ----------
    training_level
        Of the model; None where it claims nothing, and then there is nothing to say.
    window_samples
        Of a window of the network, at the stream's rate.
    gain_db
        What the caller amplifies by, before the network hears it.
    """

    def __init__(
        self, training_level: TrainingLevel | None, window_samples: int, gain_db: float = 0.0
    ) -> None:
        self._range, self._gain_db = training_level, gain_db
        self._meter = _WindowMeter(window_samples)
        self._recent: deque[NDArray[np.float64]] = deque(maxlen=RUNNING_WINDOWS)

    def update(self, block: Float) -> str | None:
        """Hear a block, before the caller's gain.

        Parameters
        ----------
        block
            shape = (channels, any number of samples), floating point, full scale 1.

        Returns
        -------
        str or None
            What to warn of, once; None else.
        """
        if self._range is None:
            return None
        for powers in self._meter.feed(block):
            self._recent.append(powers)
            message = self._judged(self._range)
            if message is not None:
                self._range = None
                return message
        return None

    def _judged(self, training_level: TrainingLevel) -> str | None:
        counts = _Histogram()
        for powers in self._recent:
            counts.add(powers)
        heard = counts.level()
        if heard.dbfs is None or counts.sounding_moments < LEAST_WINDOWS:
            return None
        low, high = training_level
        level = heard.dbfs + self._gain_db
        if low <= level <= high:
            return None
        middle = LevelMeasure(dbfs=level, windows=heard.windows)
        advice = self._gain_db + gain_db(middle, training_level)
        return (
            f"level of the stream: got {level:.1f} dBFS, expected {low:g} to {high:g} dBFS, over "
            "which the model was trained: categories may be missed or invented. "
            f"Set gain_db to {advice:.0f}."
        )


def _powers(samples: Float) -> NDArray[np.float64]:
    """Power along the last axis: the variance, as a constant offset is no sound.

    In float32 but for the mean: 1e-5 of it is no matter, and twice the speed is.
    """
    # Of samples that are not finite, their reader says so.
    with np.errstate(invalid="ignore", over="ignore"):
        mean = samples.mean(axis=-1, keepdims=True, dtype=np.float64)
        alone = samples - mean.astype(np.float32)
        squares = np.einsum("...i,...i->...", alone, alone)
    return np.asarray(squares / samples.shape[-1], np.float64)


class _WindowMeter:
    """Power of every window of a signal that comes in blocks, channel by channel."""

    def __init__(self, window_samples: int) -> None:
        if window_samples < 1:
            raise AudioError(
                f"window of the level: got {window_samples} samples, expected at least 1. "
                "Please report it."
            )
        self._part = max(1, window_samples // PARTS)
        self._rest: Float | None = None
        self._parts: deque[NDArray[np.float64]] = deque(maxlen=PARTS)
        self._pending = 0

    def feed(self, block: Float) -> list[NDArray[np.float64]]:
        """Power of each window that is now complete, shape = (channels,)."""
        samples = np.asarray(block, np.float32)
        if self._rest is not None:
            samples = np.concatenate([self._rest, samples], axis=1)
        count = samples.shape[1] // self._part
        whole = samples[:, : count * self._part].reshape(len(samples), count, self._part)
        self._rest = samples[:, count * self._part :].copy()
        done = []
        for powers in _powers(whole).T:
            self._parts.append(powers)
            self._pending += 1
            if self._pending == PARTS:
                self._pending = 0
                done.append(self._window())
        return done

    def rest(self) -> NDArray[np.float64]:
        """Power of the last window, which ends with the signal; none if that has been given."""
        if not self._parts and self._rest is not None and self._rest.shape[1]:
            return _powers(self._rest)
        return self._window() if self._pending else np.zeros(0)

    def _window(self) -> NDArray[np.float64]:
        # What is not finite sorts last, and goes with the clicks.
        powers = np.sort(np.array(self._parts), axis=0)
        clicks = min(len(powers) - 1, ceil(len(powers) * CLICK_PARTS / PARTS))
        return np.asarray(powers[: len(powers) - clicks].mean(axis=0))


class _Histogram:
    """Powers of windows, by their level: what gating needs of any number of them."""

    def __init__(self) -> None:
        bins = (_HIGHEST - _LOWEST) * _PER_DB
        self._counts = np.zeros(bins, np.int64)
        self._powers = np.zeros(bins)
        self.sounding_moments = 0

    def add(self, powers: NDArray[np.float64]) -> None:
        """Count the windows of one moment, one for each channel; silent ones count nowhere."""
        sounding = powers[powers >= 10 ** (SILENCE_DBFS / 10)]  # never true of nan
        levels = 10 * np.log10(sounding)
        places = np.clip((levels - _LOWEST) * _PER_DB, 0, len(self._counts) - 1).astype(np.int64)
        np.add.at(self._counts, places, 1)
        np.add.at(self._powers, places, sounding)
        self.sounding_moments += bool(len(levels))

    def level(self) -> LevelMeasure:
        """The level of what is not a pause."""
        if not self._counts.any():
            return LevelMeasure(dbfs=None, windows=0)
        mean = 10 * np.log10(self._powers.sum() / self._counts.sum())
        first = max(0, int((mean - GATE_DB - _LOWEST) * _PER_DB))
        counts, powers = self._counts[first:].sum(), self._powers[first:].sum()
        return LevelMeasure(dbfs=float(10 * np.log10(powers / counts)), windows=int(counts))
