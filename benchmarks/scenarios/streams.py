"""``streams``: the most live streams of 1 s latency that a hub serves in time, by bisection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sgn_rt._types import Float
from sgn_rt.benchmarks.harness import Tell
from sgn_rt.benchmarks.material import SAMPLE_RATE
from sgn_rt.benchmarks.result import Figure
from sgn_rt.benchmarks.rows.subjects import Subject, separator
from sgn_rt.benchmarks.scenarios import live
from sgn_rt.benchmarks.scenarios.setting import SOUNDING, Setting, engines_of
from sgn_rt.engines.base import Engine
from sgn_rt.errors import SgnError
from sgn_rt.streaming.hub.hub import DEADLINE_S

NAME: Final = "streams"
LATENCY_S: Final = 1.0
START: Final = 8
"""Streams that are tried first."""


def run(subjects: Sequence[Subject], setting: Setting, *, tell: Tell) -> list[Figure]:
    """The most streams whose 99th percentile of lateness is below the deadline; one source each."""
    music = live.music_at(SAMPLE_RATE, setting.bundle.config.sample_rate)
    engines = engines_of(subjects)
    found = []
    for number, (row, engine) in enumerate(engines.items(), 1):
        found.append(_most(row, engine, setting, music))
        tell(number / len(engines))
    return found


def _most(row: str, engine: Engine, setting: Setting, music: Float) -> Figure:
    held: list[live.Outcome] = []
    names = (setting.chosen()[SOUNDING] or [])[:1]
    with separator(engine, setting.bundle, setting.threads) as opened:

        def holds(streams: int) -> bool:
            with opened.hub(deadline_s=DEADLINE_S, share=1.0) as hub:
                outcome = live.run(
                    hub, music, streams, setting.stream_s, DEADLINE_S,
                    sample_rate=SAMPLE_RATE, categories=names, latency_s=LATENCY_S,
                )  # fmt: skip
            if outcome.holds(DEADLINE_S):
                held.append(outcome)
            return outcome.holds(DEADLINE_S)

        failure, most = None, float("nan")
        try:
            most = live.largest(holds, START, setting.most_streams)
        except SgnError as error:
            failure = str(error)
    late = max(held, key=lambda outcome: outcome.streams).lateness_s if held else None
    return Figure(
        scenario=NAME, row=row, name="streams", unit="streams", better="higher", value=most,
        network=setting.network, failure=failure,
        percentiles=None if late is None else {k: late[k] for k in ("p50", "p90", "p99")},
        note=None if failure else _note(setting, most),
    )  # fmt: skip


def _note(setting: Setting, most: float) -> str:
    rest = ", none beyond that was tried" if most == setting.most_streams else ""
    return (
        f"{LATENCY_S:g} s latency, lateness below {DEADLINE_S:g} s, "
        f"{setting.stream_s:g} s of music a try{rest}"
    )
