"""How much sound is taken: rates, channels, and what a service may set for strangers' files."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from sgn_rt.errors import AudioError, ConfigError

RATES: Final = (1_000, 768_000)
"""Sample rates that are taken, Hz."""

MOST_CHANNELS: Final = 1024
"""libsndfile's own limit; an array with more of them has its axes the wrong way round."""

BLOCK_BYTES: Final = 64 << 20
"""Of a block of float32 samples, whatever a file's number of channels is."""


def checked_rate(sample_rate: Any) -> int:
    """The rate, Hz.

    Raises
    ------
    AudioError
        If it is no whole number, or one that no recording has.
    """
    low, high = RATES
    if not is_real(sample_rate):
        raise AudioError(
            f"sample rate: got {_told(sample_rate)}, expected a whole number from {low} to {high} "
            "Hz. Give it as an int."
        )
    if not low <= sample_rate <= high or int(sample_rate) != sample_rate:
        raise AudioError(
            f"sample rate: got {sample_rate} Hz, expected a whole number from {low} to {high}. "
            "Convert the recording."
        )
    return int(sample_rate)


def checked_channels(channels: Any, most: int = MOST_CHANNELS) -> int:
    """The number of channels.

    Raises
    ------
    AudioError
        If it is no whole number, none, or more than ``most``.
    """
    if not is_whole(channels):
        raise AudioError(
            f"channels: got {_told(channels)}, expected a whole number from 1 to {most}. "
            "Give it as an int."
        )
    if not 1 <= channels <= most:
        raise AudioError(
            f"channels: got {channels}, expected 1 to {most}. Put channels first, samples second."
        )
    return int(channels)


def checked_seconds(seconds: Any, what: str) -> float:
    """A moment, or a time, in seconds.

    Raises
    ------
    AudioError
        If it is no number.
    """
    if not is_real(seconds):
        raise AudioError(f"{what}: got {seconds!r:.40}, expected seconds. Give a number.")
    return float(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most of a recording that is taken; for services, whose files come from strangers.

    Attributes
    ----------
    seconds
        Of the whole recording; None for any number.
    channels
        At most `MOST_CHANNELS`.
    """

    seconds: float | None = None
    channels: int = MOST_CHANNELS

    def __post_init__(self) -> None:
        if self.seconds is not None and not (is_real(self.seconds) and self.seconds > 0):
            raise ConfigError(
                f"most seconds: got {_told(self.seconds)}, expected a positive number. "
                "Leave it out for recordings of any length."
            )
        if not is_whole(self.channels) or not 1 <= self.channels <= MOST_CHANNELS:
            raise ConfigError(
                f"most channels: got {_told(self.channels)}, expected 1 to {MOST_CHANNELS}. "
                "Leave it out for all that a file can have."
            )

    def samples(self, rate: int) -> float:
        """The most samples of a channel at a rate, Hz; infinite where any number is taken."""
        return math.inf if self.seconds is None else self.seconds * rate

    def check(self, name: str, *, rate: int, channels: int, samples: int = 0) -> None:
        """Refuse what is no recording, or beyond the limits.

        Parameters
        ----------
        name
            Of the recording, for messages.
        rate, channels, samples
            What it claims to be; samples of one channel, as far as they are known.

        Raises
        ------
        AudioError
            If it is.
        """
        low, high = RATES
        if not low <= rate <= high:
            raise AudioError(
                f"{name}: sample rate: got {rate} Hz, expected {low} to {high}. "
                "Convert the recording."
            )
        if not 1 <= channels <= self.channels:
            raise AudioError(
                f"{name}: got {channels} channels, expected 1 to {self.channels}. "
                "Take fewer channels of it."
            )
        if samples > self.samples(rate):
            raise AudioError(
                f"{name}: got {samples / rate:.6g} s or more, expected at most "
                f"{self.seconds:g} s. Cut the recording."
            )


def frames_per_block(frames: int, channels: int) -> int:
    """A number of frames to read at once: those asked for, or fewer, by `BLOCK_BYTES`."""
    return max(1, min(frames, BLOCK_BYTES // (4 * channels)))


def is_real(value: object) -> TypeGuard[float]:
    """Whether something is a finite real number; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def is_whole(value: object) -> TypeGuard[int]:
    """Whether something is a whole number; True and False are none."""
    return not isinstance(value, bool) and isinstance(value, numbers.Integral)


def _told(value: Any) -> str:
    """A value of any type, short enough for a message."""
    return f"{value!r:.40}" if is_real(value) else f"{value!r:.40} ({type(value).__name__})"
