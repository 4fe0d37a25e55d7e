"""Two runs compared: how many times as good the new one is, and whether that is more than chance.

What is compared are the figures of two runs of one machine and one model. The interval of a ratio
is from the intervals of both (variance estimates recovery, on logarithms: Zou and Donner 2008). It
knows what varied between the passes of a run, and nothing of what differs by the day, as the load
of neighbours: the limit has to leave room for that. Ratios to another row of the same run are
compared, too: what slows all of a run down is not in them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sgn_rt.benchmarks.report.tables import flat
from sgn_rt.benchmarks.result import Figure, Ratio, Result, Row

Key = tuple[str, str, str, str, str]
"""Of a figure."""
Verdict = Literal["WORSE", "worse", "same", "better", "unsure"]

LIMIT: Final = 0.05
"""Part by which a figure may be worse, where none is given."""
IDENTITY: Final = ("cpu", "cpus", "threads", "gpus")
"""Of a machine: where these differ, it is another one."""
_EACH_TIME: Final = ("load", "processor mhz")
"""Of a machine: what is different in every run."""


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
    ratios
        Ratios to another row that both have, as figures; no verdict on them counts as worse.
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
    ratios: tuple[Pair, ...]
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
    of_rows, of_rows_now = (_as_figures(run.ratios) for run in (old, new))
    gone = list(_gone(before, now, new.rows))
    added = len([key for key in now if key not in before])
    return Comparison(
        limit=limit,
        others=foreign,
        pairs=tuple(_pairs(before, now, limit, judged=not foreign)),
        ratios=tuple(_pairs(of_rows, of_rows_now, limit, judged=not foreign)),
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


def _as_figures(ratios: Sequence[Ratio]) -> dict[Key, Figure]:
    made = (
        Figure(
            scenario=each.scenario, row=each.row, case=each.case, network=each.network,
            name=f"{each.name} against {each.to}", unit="x", better="higher", value=each.value,
            interval=each.interval,
        )
        for each in ratios
    )  # fmt: skip
    return {figure.key: figure for figure in made}


def _pairs(
    before: Mapping[Key, Figure], now: Mapping[Key, Figure], limit: float, *, judged: bool
) -> Iterator[Pair]:
    for key, old in before.items():
        new = now.get(key)
        if new is None or old.failure is not None or new.failure is not None:
            continue
        interval = _interval(old, new)
        yield Pair(
            old=old, new=new, ratio=_goodness(old.value, new.value, new.better), interval=interval,
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
    """Bounds of the ratio from those of both; of what may be nothing, by the extremes of both."""
    if old.interval is None or new.interval is None:
        return None
    of, to = (new, old) if new.better == "higher" else (old, new)
    assert of.interval is not None
    assert to.interval is not None
    if min(*of.interval, *to.interval) <= 0:
        found = [_goodness(old.interval[i], new.interval[1 - i], new.better) for i in (0, 1)]
        return min(found), max(found)
    below = math.hypot(math.log(of.value / of.interval[0]), math.log(to.interval[1] / to.value))
    above = math.hypot(math.log(of.interval[1] / of.value), math.log(to.value / to.interval[0]))
    return of.value / to.value * math.exp(-below), of.value / to.value * math.exp(above)
