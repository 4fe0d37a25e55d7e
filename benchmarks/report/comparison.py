"""Two runs compared: how many times as good the new one is, and whether that is more than chance.

What is compared are the figures of two runs of one machine and one model. The interval of a ratio
is from both runs' rounds, resampled each by itself, as rounds of two runs are no pairs. It knows
what varied within the runs, and nothing of what is different between them, as the load of other
days: the limit has to leave room for that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from sgn_rt.benchmarks.report.tables import flat
from sgn_rt.benchmarks.result import CONFIDENCE, Figure, Result, Row

Key = tuple[str, str, str, str, str]
"""Of a figure."""
Verdict = Literal["WORSE", "worse", "same", "better", "unsure"]

IDENTITY: Final = ("cpu", "cpus", "threads", "gpus")
"""Of a machine: where these differ, it is another one."""
_EACH_TIME: Final = ("load", "processor mhz")
"""Of a machine: what is different in every run."""

_RESAMPLES: Final = 2000
_FEWEST: Final = 3
"""Rounds of which a bootstrap can be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A figure of both runs.

    Attributes
    ----------
    old, new
        The figures.
    ratio, interval
        How many times as good the new one is, and its bounds; None where one of both runs has no
        interval.
    verdict
        ``worse`` and ``better`` where all of the interval is; ``WORSE`` where all of it is beyond
        the limit.
    """

    old: Figure
    new: Figure
    ratio: float
    interval: tuple[float, float] | None
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two runs say of each other.

    Attributes
    ----------
    limit
        Part by which a figure may be worse.
    others
        Why their figures must not be compared, such as another machine; nothing is judged then.
    pairs
        Figures that both have.
    lost
        What had a figure and failed now, with the reason.
    missing
        What only one of them has, with the reason.
    changes
        What else is different, such as versions.
    """

    limit: float
    others: tuple[str, ...]
    pairs: tuple[Pair, ...]
    lost: tuple[str, ...]
    missing: tuple[str, ...]
    changes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """1 if a figure is worse beyond the limit or lost, 2 if nothing can be judged."""
        if self.others:
            return 2
        if self.lost or any(pair.verdict == "WORSE" for pair in self.pairs):
            return 1
        return 0 if any(pair.verdict != "unsure" for pair in self.pairs) else 2


def compare(old: Result, new: Result, limit: float) -> Comparison:
    """Compare two runs.

    Parameters
    ----------
    old, new
        The earlier run, and the one that is judged.
    limit
        Part by which a figure may be worse, 0 to 1: of 0.05 all of a ratio's interval has to be
        below 0.95.
    """
    foreign = tuple(others(old, new))
    before, now = ({f.key: f for f in run.figures} for run in (old, new))
    pairs = [
        _pair(figure, now[key], limit, judged=not foreign)
        for key, figure in before.items()
        if key in now and figure.failure is None and now[key].failure is None
    ]
    gone = list(_gone(before, now, new.rows))
    added = len([key for key in now if key not in before])
    return Comparison(
        limit=limit,
        others=foreign,
        pairs=tuple(pairs),
        lost=tuple(text for text, lost in gone if lost),
        missing=(
            *_counted(text for text, lost in gone if not lost),
            *([f"{added} figures: not in the earlier run"] if added else []),
        ),
        changes=tuple(changes(old, new)),
    )


def others(old: Result, new: Result) -> Iterator[str]:
    """Why figures of two runs must not be compared: what is another machine, or another bundle."""
    for key in IDENTITY:
        before, now = (_identity(key, run.machine.get(key)) for run in (old, new))
        if before != now:
            yield f"another machine: {key} was {before}, is {now}"
    if old.model["sha256"] != new.model["sha256"]:
        before, now = (f"{run.model['name']} {run.model['sha256'][:12]}" for run in (old, new))
        yield f"another bundle: {before} before, {now} now"


def _identity(key: str, value: Any) -> str:
    """Of GPUs their names, as clocks and drivers change; a text says why none is known."""
    if key == "gpus":
        known = value if isinstance(value, list) else []
        return ", ".join(str(each.get("name")) for each in known) or "none"
    return str(value)


def changes(old: Result, new: Result) -> Iterator[str]:
    """Of the environment and of what was asked for, but for what identifies or is new each time."""
    for what in ("machine", "plan"):
        before, now = (dict(flat(getattr(run, what))) for run in (old, new))
        for name in dict.fromkeys((*before, *now)):
            if name in _EACH_TIME or name.split(" ")[0] in IDENTITY:
                continue
            if before.get(name) != now.get(name):
                yield f"{name}: {before.get(name, '-')} before, {now.get(name, '-')} now"


def _gone(
    before: Mapping[Key, Figure], now: Mapping[Key, Figure], rows: Sequence[Row]
) -> Iterator[tuple[str, bool]]:
    """What has a figure in the earlier run alone, and whether that is a failure of the new one."""
    known = {(row.name, row.network): row for row in rows}
    for key, figure in before.items():
        if figure.failure is not None:
            continue
        row = known.get((figure.row, figure.network))
        if key in now:
            if now[key].failure is not None:
                yield f"{figure_name(figure)}: {now[key].failure}", True
        elif row is None:
            yield f"{figure.row}: not asked for now", False
        elif row.failure is not None:
            yield f"{figure.row}: {row.failure}", not row.absent
        else:
            yield f"{figure.scenario} of {figure.row}: not measured now", False


def _counted(texts: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def figure_name(figure: Figure) -> str:
    """What a figure is of, in full."""
    network = "" if figure.network == "published" else f"{figure.network} network"
    return ", ".join(filter(None, (figure.scenario, figure.case, network, figure.row, figure.name)))


def _pair(old: Figure, new: Figure, limit: float, *, judged: bool) -> Pair:
    ratio = _goodness(old.value, new.value, new.better)
    interval = _interval(old, new)
    return Pair(
        old=old, new=new, ratio=ratio, interval=interval,
        verdict=_verdict(interval, limit) if judged else "unsure",
    )  # fmt: skip


def _verdict(interval: tuple[float, float] | None, limit: float) -> Verdict:
    if interval is None:
        return "unsure"
    low, high = interval
    if high < 1.0:
        return "WORSE" if high < 1.0 - limit else "worse"
    return "better" if low > 1.0 else "same"


def _goodness(old: float, new: float, better: str) -> float:
    of, to = (new, old) if better == "higher" else (old, new)
    if of == to:
        return 1.0
    return of / to if to else math.inf


def _interval(old: Figure, new: Figure) -> tuple[float, float] | None:
    """Bounds of the ratio, from the rounds of both; from both intervals where there are none."""
    if min(len(old.values), len(new.values)) >= _FEWEST:
        random = np.random.default_rng(0)
        medians = [_medians(figure.values, random) for figure in (old, new)]
        of, to = medians[::-1] if new.better == "higher" else medians
        if np.all(to > 0):
            tail = 50.0 * (1.0 - CONFIDENCE)
            low, high = np.percentile(of / to, (tail, 100.0 - tail))
            return float(low), float(high)
    if old.interval is None or new.interval is None:
        return None
    found = (
        _goodness(old.interval[0], new.interval[1], new.better),
        _goodness(old.interval[1], new.interval[0], new.better),
    )
    return min(found), max(found)


def _medians(values: Sequence[float], random: np.random.Generator) -> np.ndarray:
    array = np.asarray(values, float)
    drawn: np.ndarray = np.median(
        array[random.integers(len(array), size=(_RESAMPLES, len(array)))], axis=1
    )
    return drawn
