"""``sources`` of a model with hundreds of categories, of the published sizes and random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sgn_rt.benchmarks.harness import Tell
from sgn_rt.benchmarks.result import Figure
from sgn_rt.benchmarks.rows.networks import many_categories
from sgn_rt.benchmarks.rows.subjects import Subject, gather
from sgn_rt.benchmarks.scenarios import sources
from sgn_rt.benchmarks.scenarios.setting import Setting, closed_after, engines_of
from sgn_rt.errors import SgnError
from sgn_rt.model.bundle import Bundle

SUFFIX: Final = ", random weights"
"""Of the cases."""


def run(subjects: Sequence[Subject], setting: Setting, *, tell: Tell) -> list[Figure]:
    """Time of one window by its sources, of the rows that run the model itself.

    Rows are opened on the other model, and proved on it; one whose graph it lacks is left out.
    """
    names = list(engines_of(subjects))
    folder = setting.folder / "many-categories"
    made = folder / "bundle"
    try:
        bundle = Bundle.open(made) if made.exists() else many_categories(made, setting.categories)
    except SgnError as error:
        return [_missing(name, setting, str(error)) for name in names]
    other = replace(
        setting, bundle=bundle, folder=folder, calls=setting.repeats,
        call_warming=setting.file_warming,
    )  # fmt: skip
    opened = gather(names, bundle, setting.threads, folder, devices=setting.devices)
    with closed_after(opened):
        found = sources.run(opened, other, tell=tell)
    failed = [s for s in opened if s.engine is None and not s.absent]
    return [
        *(replace(figure, case=f"{figure.case}{SUFFIX}") for figure in found),
        *(_missing(subject.name, setting, subject.failure or "") for subject in failed),
    ]


def _missing(row: str, setting: Setting, reason: str) -> Figure:
    return Figure(
        scenario=sources.NAME, case=f"{setting.categories} of {setting.categories}{SUFFIX}",
        row=row, x=setting.categories, name="time", unit="s", better="lower", value=float("nan"),
        failure=reason,
    )  # fmt: skip
