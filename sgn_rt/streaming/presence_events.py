"""What appears and disappears in a live stream, window by window.

`PresenceRule` tells what counts as present in the whole of a recording so far, and takes little
back. A listener wants to know what sounds now: a category appears in the window in which its
probability reaches the threshold, and disappears in the one in which it is clearly below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.errors import ConfigError
from sgn_rt.streaming.presence import PresenceRule, log_odds

CLEARLY_BELOW: Final = 4.0
"""How many times lower than the threshold's the odds are at which a category disappears.

In odds and not in probability, as the network's probabilities crowd at 0 and 1: a threshold of 0.5
is left at 0.2, one of 0.9 at 0.69, one of 0.01 at 0.0025, each as clearly as the others.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceEvent:
    """A category that begins or ends to sound.

    Attributes
    ----------
    kind
        Which of both.
    category
        Its name.
    time_s
        Of the signal, seconds from its beginning.
    probability
        What the network gave it in the window that decided, 0 to 1.
    """

    kind: Literal["appeared", "disappeared"]
    category: str
    time_s: float
    probability: float


class PresenceEvents:
    """Watches the presence of a stream's windows; nothing is present at the beginning.

    Of a category events alternate, the first is ``appeared``. Between two of them the odds changed
    by a factor of `CLEARLY_BELOW` at least, so that what hovers about the threshold does not
    flutter.

    Parameters
    ----------
    thresholds
        Probability from which a window speaks for a category, as in `PresenceRule`: one for each
        category, or one for all.
    categories
        Names, in the network's order.
    clearly_below
        See `CLEARLY_BELOW`; more than 1.

    Attributes
    ----------
    categories
        As given.

    Raises
    ------
    ConfigError
        For thresholds of another number, or a factor that makes no hysteresis.
    """

    def __init__(
        self,
        thresholds: float | Sequence[float],
        categories: Sequence[str],
        *,
        clearly_below: float = CLEARLY_BELOW,
    ) -> None:
        self.categories = tuple(categories)
        bars = np.atleast_1d(np.asarray(thresholds, np.float64))
        if len(bars) not in (1, len(self.categories)):
            raise ConfigError(
                f"thresholds: got {len(bars)}, expected one for each of {len(self.categories)} "
                "categories. Name one for every category, or one for all."
            )
        if not clearly_below > 1.0:
            raise ConfigError(
                f"clearly_below: got {clearly_below}, expected more than 1. Take {CLEARLY_BELOW:g}."
            )
        self._appears = log_odds(np.broadcast_to(bars, len(self.categories)))
        self._disappears = self._appears - np.log(clearly_below)
        self._present = np.zeros(len(self.categories), np.bool_)

    @classmethod
    def of(cls, rule: PresenceRule, categories: Sequence[str]) -> PresenceEvents:
        """By the thresholds of a rule."""
        return cls(np.atleast_1d(rule.thresholds).tolist(), categories)

    @property
    def present(self) -> NDArray[np.bool_]:
        """What sounds now, shape = (C,)."""
        return self._present.copy()

    def update(self, presence: Float, time_s: float) -> list[PresenceEvent]:
        """Hear the next window.

        Parameters
        ----------
        presence
            Highest probability of every category in any channel, shape = (C,), 0 to 1.
        time_s
            What it is about: seconds from the signal's beginning.

        Returns
        -------
        list
            What changed with it, in the categories' order; mostly nothing.
        """
        odds = log_odds(presence)
        now = np.where(self._present, odds >= self._disappears, odds >= self._appears)
        changed = np.flatnonzero(now != self._present)
        self._present = now
        return [
            PresenceEvent(
                kind="appeared" if now[i] else "disappeared",
                category=self.categories[i],
                time_s=time_s,
                probability=float(presence[i]),
            )
            for i in changed.tolist()
        ]
