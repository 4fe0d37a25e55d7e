"""What counts as present over time: the one rule, the same for a file and for a live stream.

The network gives a probability for every window. Calling present whatever is probable once makes
false alarms grow with the recording: an hour has 800 windows, and one of a hundred is wrong. So the
bar rises as the recording goes on, as in a test of many hypotheses at once: the smaller the part of
a recording that a claim rests on, the better the odds at which it has to hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.audio.limits import is_real
from sgn_rt.errors import ConfigError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.stages import PRESENCE_THRESHOLD
from sgn_rt.streaming.windows import WindowLayout

NOT_SAID: Final = "The model does not say what is present: all of its categories count as present."
"""In the place of a rule."""
_CERTAIN = 1e-6
"""Probabilities closer to 0 and 1 than this are as good as it: float32 rounds them off anyway."""
_ROUNDING = 1e-9
"""Of the sum of logarithms, where a stretch meets the bar exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceRule:
    """When a category counts as present: see `describe`.

    Attributes
    ----------
    thresholds
        Probability from which a window speaks for a category, 0 to 1: one for each category, or one
        for all.
    span_s
        Seconds of signal that are one observation. Windows closer together than that hear the same
        sound, so that each counts for less.
    most_odds
        What a single window is trusted with at most, n to one. Of windows without an instrument one
        in a thousand is above 0.99 all the same; so from two hundred windows on (15 minutes of the
        published model) it takes more than one, while two clear ones, as a solo of 10 s has, still
        decide in an hour.
    plain_share
        Of a recording: a stretch as long needs the threshold and no more. With half, what is short
        is judged nearly as a window is (of 137 instruments in 56 mixtures of 14 s: 118 found and 12
        invented; by the highest window 127 and 24; without this allowance 112 and 8).
    candidate_share
        Of the evidence wanted, from which a category may still turn out present. With half of it
        few categories are ever in doubt; one that starts weakly is noticed some windows late.
    is_said
        Whether the network says what is there; where it does not, all categories count as present.

    Raises
    ------
    ConfigError
        For a threshold that is no probability, or constants that make no rule.
    """

    thresholds: float | tuple[float, ...] = PRESENCE_THRESHOLD
    span_s: float
    most_odds: float = 99.0
    plain_share: float = 0.5
    candidate_share: float = 0.5
    is_said: bool = True

    def __post_init__(self) -> None:
        for threshold in np.atleast_1d(self.thresholds).tolist():
            if not is_real(threshold) or not 0.0 <= threshold <= 1.0:
                raise ConfigError(
                    f"threshold: got {threshold!r:.40}, expected 0 to 1. Take {PRESENCE_THRESHOLD}."
                )
        if not 0.0 < self.span_s < float("inf"):
            raise ConfigError(
                f"span of a presence: got {self.span_s} s, expected a positive number of seconds. "
                "Take the step of the model's windows."
            )
        if not self.most_odds > 1.0:
            raise ConfigError(
                f"odds of a window: got {self.most_odds}, expected more than 1. Take 99."
            )
        for name in ("plain_share", "candidate_share"):
            share = getattr(self, name)
            if not 0.0 < share <= 1.0:
                raise ConfigError(
                    f"{name}: got {share}, expected more than 0, at most 1. Take 0.5."
                )

    @classmethod
    def of(
        cls, config: ModelConfig, thresholds: float | Mapping[str, float] | None = None
    ) -> PresenceRule:
        """The rule for a model.

        Parameters
        ----------
        config
            The model's configuration.
        thresholds
            One for all categories, or by name; None, and of those not named: the model's own, or
            0.5 where it states none.

        Raises
        ------
        ConfigError
            For what is no probability, or names no category of the model; for any threshold of
            a model that does not say what is present.
        """
        span_s = WindowLayout.offline(config).step / config.sample_rate
        if thresholds is None and not config.has_presence:
            return cls(thresholds=PRESENCE_THRESHOLD, span_s=span_s, is_said=False)
        own = config.presence_thresholds
        if not config.has_presence:
            raise ConfigError(
                f"threshold: got {thresholds!r:.60}, expected none: this model does not say what "
                "is present, and all of its categories count as present. Name those you want."
            )
        if thresholds is None:
            return cls(thresholds=own or PRESENCE_THRESHOLD, span_s=span_s)
        if not isinstance(thresholds, Mapping):
            return cls(thresholds=thresholds, span_s=span_s)
        unknown = sorted(repr(name) for name in thresholds if name not in config.categories)
        if unknown:
            raise ConfigError(
                f"thresholds: got {', '.join(unknown)}, expected names from "
                f"{', '.join(config.categories)}. Leave out what the model does not know."
            )
        default = own or (PRESENCE_THRESHOLD,) * len(config.categories)
        each = zip(config.categories, default, strict=True)
        return cls(thresholds=tuple(thresholds.get(*pair) for pair in each), span_s=span_s)

    def describe(self) -> str:
        """The rule in two sentences, for a report."""
        if not self.is_said:
            return NOT_SAID
        values = np.unique(self.thresholds).tolist()
        least = f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"
        return (
            "A category is present if there is a stretch of windows in a row, each of at least the "
            f"threshold ({least}), whose odds over the threshold's, multiplied (at most "
            f"{self.most_odds:g} each), reach {self.plain_share:g} times the number of such "
            "stretches that the recording is long. So the threshold is enough for what sounds "
            f"through {100 * self.plain_share:g} % of a recording, and what sounds for less has to "
            "be the clearer, the longer the recording is."
        )


class PresenceTracker:
    """What a recording, or a stream so far, says about every category. Memory is constant.

    Parameters
    ----------
    rule
        What counts.
    categories
        Names, in the network's order.
    step_s
        From one window to the next, seconds of signal.

    Attributes
    ----------
    windows
        Heard so far.

    Raises
    ------
    ConfigError
        If the rule has thresholds of another number of categories, or the step is not positive.
    """

    def __init__(self, rule: PresenceRule, categories: Sequence[str], step_s: float) -> None:
        count = len(categories)
        thresholds = np.atleast_1d(np.asarray(rule.thresholds, np.float64))
        if len(thresholds) not in (1, count):
            raise ConfigError(
                f"thresholds: got {len(thresholds)}, expected one for each of {count} categories. "
                "Name one for every category, or one for all."
            )
        if not 0.0 < step_s < float("inf"):
            raise ConfigError(
                f"step of the windows: got {step_s} s, expected a positive number of seconds. "
                "Please report it."
            )
        self.rule, self.windows = rule, 0
        self._bar = log_odds(np.broadcast_to(thresholds, count))
        self._weight = step_s / rule.span_s
        self._most = float(np.log(rule.most_odds))
        self._sum = np.zeros(count)
        self._length, self._heard = np.zeros(count), 0.0  # in steps
        self._best = np.full(count, -np.inf)
        self._highest = np.zeros(count, np.float32)

    def update(self, presence: Float, steps: float = 1.0) -> None:
        """Hear the next window.

        Parameters
        ----------
        presence
            Highest probability of every category in any channel, shape = (C,), 0 to 1.
        steps
            Of ``step_s``, to the window after it: it counts for as many.
        """
        np.maximum(self._highest, presence, out=self._highest)
        self.windows += 1
        self._heard += steps
        excess = log_odds(presence) - self._bar
        speaks = excess >= 0.0
        evidence = min(1.0, steps * self._weight) * np.minimum(excess, self._most)
        self._sum = np.where(speaks, self._sum + evidence, 0.0)
        self._length = np.where(speaks, self._length + steps, 0.0)
        # Of two stretches the one with more of (sum + log length) is ahead whatever comes later, as
        # the length of the recording is the same for both. A single number need be kept.
        stretch = self._sum + np.log(np.maximum(self._length, 1))
        self._best = np.maximum(self._best, np.where(speaks, stretch, -np.inf))

    def _reaches(self, share: float) -> NDArray[np.bool_]:
        """Whether the best stretch has this share of the evidence that is wanted."""
        wanted = share * np.log(self.rule.plain_share * max(self._heard, 1.0))
        return np.asarray(self._best >= wanted - _ROUNDING)

    @property
    def present(self) -> NDArray[np.bool_]:
        """What counts as present if the signal ended here, shape = (C,)."""
        return self._reaches(1.0)

    @property
    def candidates(self) -> NDArray[np.bool_]:
        """What may still turn out present, shape = (C,); all that is present is among them.

        Taken back where the signal goes on without it, and given again where it speaks again.
        """
        return self._reaches(self.rule.candidate_share) | self.present

    @property
    def highest(self) -> Float:
        """Highest probability of each category in any window, shape = (C,), float32, 0 to 1."""
        return self._highest.copy()


def log_odds(probability: NDArray[np.floating]) -> NDArray[np.float64]:
    """Natural logarithm of p / (1 - p), finite: what is all but certain is as good as certain."""
    within = np.clip(np.asarray(probability, np.float64), _CERTAIN, 1.0 - _CERTAIN)
    return np.log(within / (1.0 - within))
