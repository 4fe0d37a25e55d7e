"""Where the network's windows lie on the signal, what of each is kept, and the latency of that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from sgn_rt.audio.limits import is_real
from sgn_rt.errors import ConfigError
from sgn_rt.model.config import ModelConfig

EDGE_SHARE = Fraction(1, 16)
"""Of a window, discarded at either end when latency does not matter: the network sees only half of
its context there, and the STFT's reflect padding. Measured on music: more costs time and gains
nothing."""
FADE_SHARE = Fraction(1, 8)
"""Of a window, cross-faded with the next one when latency does not matter."""


@lru_cache(maxsize=64)
def rise(fade: int) -> NDArray[np.float32]:
    """Weights that fade a window in, shape = (fade,), float32, a squared sine in (0, 1).

    The window before fades out by what is left to 1.
    """
    phase = (np.arange(fade) + 0.5) / max(fade, 1)
    weights = (np.sin(0.5 * np.pi * phase) ** 2).astype(np.float32)
    weights.flags.writeable = False
    return weights


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLayout:
    """Where windows lie, and what of each is heard. Units: samples at the model's rate.

    Attributes
    ----------
    window
        Samples of a window.
    discard_left, discard_right
        Edge context that is never heard; the right one is look-ahead.
    fade
        Cross-fade between a window and the next, at most one step.
    lead
        Samples that window 0 would discard and, as there is no window before it, are heard:
        ``discard_left`` where window 0 lies wholly on the signal, 0 where it must answer earlier.
    """

    window: int
    discard_left: int
    discard_right: int
    fade: int
    lead: int

    @property
    def step(self) -> int:
        """From one window to the next."""
        return self.window - self.discard_left - self.discard_right - self.fade

    @property
    def look_ahead(self) -> int:
        """Samples that must have arrived before the oldest one not yet out can go."""
        return self.lead + self.step + self.fade + self.discard_right

    def start(self, index: int) -> int:
        """First sample of window ``index``; negative where it begins before the signal does."""
        return index * self.step + self.lead - self.discard_left

    def stop(self, index: int) -> int:
        """One past the last sample of window ``index``."""
        return self.start(index) + self.window

    def final(self, index: int) -> int:
        """Samples of output that no later window changes, once windows 0 .. ``index`` are in."""
        return (index + 1) * self.step + self.lead if index >= 0 else 0

    @property
    def rise(self) -> NDArray[np.float32]:
        """Weights that fade a window in: `rise`."""
        return rise(self.fade)

    @property
    def longer_step(self) -> WindowLayout:
        """The layout of the same look-ahead, so of the same latency, that costs less.

        A quarter of fade and of context on the right are left, and the step has the rest: of a
        stream of low latency 7/8 of its look-ahead, in the place of a half.
        """
        fade, discard_right = self.fade // 4, self.discard_right // 4
        return replace(self, fade=fade, discard_right=discard_right)

    def to_manifest(self) -> dict[str, int]:
        """What a program without this package needs to know, beside the window, of `offline`."""
        return {"discard_samples": self.discard_left, "fade_samples": self.fade}

    @classmethod
    def offline(cls, config: ModelConfig) -> WindowLayout:
        """The layout for least cost at full quality."""
        edge = floor(config.window_samples * EDGE_SHARE)
        fade = floor(config.window_samples * FADE_SHARE)
        return cls(
            window=config.window_samples,
            discard_left=edge,
            discard_right=edge,
            fade=fade,
            lead=edge,
        )

    @classmethod
    def within(cls, config: ModelConfig, look_ahead: int) -> WindowLayout:
        """The layout of at most ``look_ahead``: half of it step, a quarter context, a quarter fade.

        The step sets the cost: a window of the network per step.
        """
        best = cls.offline(config)
        if look_ahead >= best.look_ahead:
            return best
        discard_right = min(look_ahead // 4, best.discard_right)
        fade = min(look_ahead // 4, best.fade)
        step = look_ahead - discard_right - fade
        return cls(
            window=config.window_samples,
            discard_left=config.window_samples - discard_right - fade - step,
            discard_right=discard_right,
            fade=fade,
            lead=0,
        )


def latency_samples(layout: WindowLayout, model_rate: int, rate: int, context_s: Fraction) -> int:
    """Latency of a stream, samples at ``rate``: look-ahead, and the context of both conversions.

    After n samples in, n - latency samples can always be out: window k needs input up to
    ceil((stop(k) + context) rate / model_rate), and before it output is final up to
    floor((final(k - 1) - context) rate / model_rate).
    """
    if model_rate == rate:
        return layout.look_ahead
    return ceil((Fraction(layout.look_ahead, model_rate) + 2 * context_s) * rate)


def _shortest(config: ModelConfig) -> WindowLayout:
    """The layout of least latency: a look-ahead of two frames of the STFT."""
    return WindowLayout.within(config, 2 * config.n_fft)


def least_latency_s(config: ModelConfig, rate: int, context_s: Fraction) -> float:
    """The smallest latency of a stream, seconds; ``rate`` and ``context_s`` as for `place`."""
    return latency_samples(_shortest(config), config.sample_rate, rate, context_s) / rate


def place(
    config: ModelConfig, rate: int, context_s: Fraction, latency_s: float | None
) -> tuple[WindowLayout, int]:
    """The layout for a latency, and the latency that it really has.

    Parameters
    ----------
    config
        The model's configuration.
    rate
        Of the stream, Hz.
    context_s
        What a conversion of rates needs beyond either end of a span, seconds.
    latency_s
        The longest delay that is borne, seconds; None for the layout of least cost.

    Returns
    -------
    layout : WindowLayout
    latency : int
        Samples at ``rate``: ``latency_s``, or less where the layout of least cost needs less.

    Raises
    ------
    ConfigError
        If the look-ahead that the latency leaves is less than two frames of the STFT.
    """
    model_rate = config.sample_rate
    best = WindowLayout.offline(config)
    longest = latency_samples(best, model_rate, rate, context_s)
    if latency_s is None:
        return best, longest
    if not is_real(latency_s) or latency_s <= 0.0:
        raise ConfigError(
            f"latency: got {latency_s!r:.40} s, expected a positive number of seconds. "
            "Choose the longest delay that the application bears."
        )
    if latency_s * rate >= longest:  # before it is rounded: it may be beyond all integers
        return best, longest
    latency = floor(latency_s * rate + 1e-6)  # n / rate is n samples, whatever its rounding
    look_ahead = floor((Fraction(latency, rate) - 2 * context_s) * model_rate)
    shortest = _shortest(config)
    if look_ahead < shortest.look_ahead:
        least = latency_samples(shortest, model_rate, rate, context_s)
        raise ConfigError(
            f"latency: got {latency_s:g} s, expected at least {ceil(least / rate * 1e4) / 1e4:g} s "
            f"({least} samples at {rate} Hz). Ask for more latency."
        )
    return WindowLayout.within(config, look_ahead), latency
