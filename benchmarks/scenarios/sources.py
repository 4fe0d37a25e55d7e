"""``sources``: what one window costs by the number of categories that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from sgn_rt.benchmarks.harness import Tell
from sgn_rt.benchmarks.result import Figure
from sgn_rt.benchmarks.rows.subjects import Subject
from sgn_rt.benchmarks.scenarios.rounds import Case, in_turn
from sgn_rt.benchmarks.scenarios.setting import Setting, engines_of

NAME: Final = "sources"
MANY: Final = 64


def counts(known: int) -> list[int]:
    """1, 2, 4, ..., and all that are known; of hundreds 1, 8, 64, ..."""
    found, count = [], 1
    while count < known:
        found.append(count)
        count *= 2 if known <= MANY else 8
    return [*found, known]


def run(subjects: Sequence[Subject], setting: Setting, *, tell: Tell) -> list[Figure]:
    """Time of one window by its sources: of the model itself."""
    window = setting.bundle.probe.mixture[:1]
    known = len(setting.bundle.config.categories)
    cases = [
        Case(
            row=row, case=f"{count} of {known}", x=count,
            run=partial(engine.separate, window, np.arange(count)),
        )
        for row, engine in engines_of(subjects).items() for count in counts(known)
    ]  # fmt: skip
    return in_turn(
        NAME, cases, network=setting.network, repeats=setting.calls, warming=setting.call_warming,
        seed=setting.seed, tell=tell,
    )  # fmt: skip
