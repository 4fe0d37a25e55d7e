"""``batch``: windows per second by the windows of a call; all categories."""

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

NAME: Final = "batch"


def run(subjects: Sequence[Subject], setting: Setting, *, tell: Tell) -> list[Figure]:
    """Throughput of one call after the other, by the windows of a call."""
    everything = np.arange(len(setting.bundle.config.categories))
    mixture = setting.bundle.probe.mixture
    cases = [
        Case(
            row=row, case=f"{size} in a call", x=size, windows=size,
            run=partial(engine.separate, np.resize(mixture, (size, mixture.shape[1])), everything),
        )
        for row, engine in engines_of(subjects).items() for size in setting.batches
    ]  # fmt: skip
    return in_turn(
        NAME, cases, network=setting.network, repeats=setting.calls, warming=setting.call_warming,
        seed=setting.seed, tell=tell,
    )  # fmt: skip
