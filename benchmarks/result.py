"""What a benchmark has measured: rows, figures and ratios, as they stand in the JSON file.

Everything that is told of a run (table, Markdown, page, comparison, history) is made from this
alone, so a file from another machine is as good as a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import numpy as np
from scipy import stats

SCHEMA: Final = 2
CONFIDENCE: Final = 0.95
"""Of every interval."""
_ORDERED: Final = 6
"""Values of which the least and the most are bounds of the median."""

Better = Literal["higher", "lower"]
Network = Literal["published", "paper-scale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Something that is timed, or why it is not.

    Attributes
    ----------
    name
        As it stands in the tables, such as ``onnxruntime:core.fp32`` or ``torch-channels-last``.
    kind
        An engine of the bundle, or what somebody would take instead.
    network
        Which one it computes: that of the bundle, or one of the paper's size with random weights.
    precision
        Of the network's products, such as ``fp32``.
    detail
        What exactly was run: libraries, options.
    accuracy
        Stage of parity -> what was measured; empty where it did not come to that.
    failure
        Why it has no figures: a stage beyond its limit, or an error. None where it has some.
    absent
        Whether it merely is not to be had here, which is no failure of it.
    command
        Installs what is missing; None where nothing helps, or nothing is missing.
    """

    name: str
    kind: Literal["engine", "competitor"]
    network: Network = "published"
    precision: str = "fp32"
    detail: str | None = None
    accuracy: dict[str, dict[str, Any]] = field(default_factory=dict)
    failure: str | None = None
    absent: bool = False
    command: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of one row.

    Attributes
    ----------
    scenario
        ``offline``, ``single-stream``, ``multi-stream``, ``server``, ``files``, ``streams``,
        ``length``, ``sources`` or ``batch``.
    row, network
        Of `Row`.
    case
        Which of a scenario's cases, such as ``3 named, warm``; empty where there is one alone.
    x
        The number that the case stands for where cases form a curve (seconds of sound, sources,
        windows of a batch); None else.
    name, unit, better
        What it is, such as ``throughput``, ``windows/s``, ``higher``.
    values
        As measured, in the order of rounds: those of two rows that were interleaved belong
        together, one by one. A sample of them where they are many.
    passes
        Through the whole benchmark: ``values`` are of one after the other, of each as many. Of
        several, ``value`` and ``interval`` are of the medians of each.
    value, interval
        Their median, or the figure itself where the whole gives one alone, and the bounds within
        which it lies with `CONFIDENCE`; None where one run cannot tell.
    percentiles
        Of latencies, seconds: ``p50``, ``p90``, ``p99``.
    valid
        Whether the load generator's own rule holds; None where there is none.
    note
        Why it is not valid, or what the reader should know.
    failure
        The error that came instead of a figure; ``value`` is NaN then.
    """

    scenario: str
    row: str
    name: str
    unit: str
    better: Better
    value: float
    network: Network = "published"
    case: str = ""
    x: float | None = None
    values: tuple[float, ...] = ()
    passes: int = 1
    interval: tuple[float, float] | None = None
    percentiles: dict[str, float] | None = None
    valid: bool | None = None
    note: str | None = None
    failure: str | None = None

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What it is the figure of: scenario, case, network, row, name."""
        return self.scenario, self.case, self.network, self.row, self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times better a row is than another in the same case: more than 1 is better.

    Attributes
    ----------
    scenario, case, network, name
        Of both figures.
    row, to
        Rows: of what, to what.
    value, interval
        Median of the ratios of runs that lay next to each other, and its bounds.
    """

    scenario: str
    row: str
    to: str
    name: str
    value: float
    network: Network = "published"
    case: str = ""
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds a row on this machine.

    Attributes
    ----------
    row, network
        Of `Row`.
    shares
        Part of a separation's processor (or device) time: ``dsp``, ``network``, ``copies``,
        ``files``, ``rest``; 0 to 1.
    roofline
        Kind of bound -> ``need_s`` (least seconds that a window takes by it), of ``arithmetic``,
        ``memory``, ``transfer``; and ``peak``, ``unit``, ``how`` it was measured.
    words
        The bottleneck, in a sentence.
    """

    row: str
    shares: dict[str, float]
    roofline: dict[str, dict[str, Any]]
    words: str
    network: Network = "published"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A run.

    Attributes
    ----------
    made
        When it began, UTC, ISO 8601.
    plan
        What was asked for, as JSON types.
    machine
        The environment in full.
    model
        ``name``, ``sha256``, ``categories`` (their number), ``window_s``.
    rows, figures, ratios, limits
        What was found.
    """

    made: str
    plan: dict[str, Any]
    machine: dict[str, Any]
    model: dict[str, Any]
    rows: tuple[Row, ...] = ()
    figures: tuple[Figure, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    limits: tuple[Limits, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON types, with ``schema``; NaN becomes None."""
        told: dict[str, Any] = _plain({"schema": SCHEMA, **asdict(self)})
        return told

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Result:
        """The run that `to_dict` told of; it has been validated against the schema."""
        parts: dict[str, Any] = {"rows": Row, "figures": Figure, "ratios": Ratio, "limits": Limits}
        made = {key: value for key, value in told.items() if key != "schema"}
        for key, kind in parts.items():
            made[key] = tuple(kind(**_kept(each)) for each in made[key])
        return cls(**made)


def _kept(each: dict[str, Any]) -> dict[str, Any]:
    made = dict(each)
    for key in ("values", "interval"):
        if made.get(key) is not None:
            made[key] = tuple(made[key])
    if "value" in made and made["value"] is None:
        made["value"] = float("nan")
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Bounds of the median with `CONFIDENCE`; None of fewer than two values.

    By the order of the values, whatever their distribution (`scipy.stats.quantile_test`). Fewer
    than `_ORDERED` cannot tell that way: of those Student's t of their logarithms does, as what
    disturbs a time or a rate does so by factors.
    """
    found = np.asarray(values, float)
    if found.size < 2:
        return None
    if np.ptp(found) == 0:
        return float(found[0]), float(found[0])
    if found.size >= _ORDERED:
        bounds = stats.quantile_test(found, p=0.5).confidence_interval(CONFIDENCE)
        return float(bounds.low), float(bounds.high)
    if found.min() <= 0:
        return None
    logs = np.log(found)
    low, high = stats.t.interval(CONFIDENCE, logs.size - 1, logs.mean(), stats.sem(logs))
    return float(np.exp(low)), float(np.exp(high))


def ratio(of: Figure, to: Figure) -> Ratio:
    """How many times better ``of`` is than ``to``, of runs pair by pair where there are pairs.

    Of several passes, bounds are of each one's median.
    """
    pairs = list(zip(of.values, to.values, strict=False)) or [(of.value, to.value)]
    found = [a / b if of.better == "higher" else b / a for a, b in pairs]
    if of.passes > 1:
        found = [float(np.median(each)) for each in np.array_split(found, of.passes)]
    return Ratio(
        scenario=of.scenario, case=of.case, network=of.network, name=of.name, row=of.row,
        to=to.row, value=float(np.median(found)), interval=median_interval(found),
    )  # fmt: skip
