"""A result as one page of HTML with its plots in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sgn_rt.benchmarks.report.plots import plots
from sgn_rt.benchmarks.report.sections import sections, what_values_are
from sgn_rt.benchmarks.result import Result
from sgn_rt.pages.document import document
from sgn_rt.pages.parts import Section

GENERATOR: Final = "sgn-rt bench"


def as_page(result: Result, extra: Sequence[Section] = ()) -> str:
    """All that is told of a result.

    Parameters
    ----------
    result
        The run.
    extra
        Sections that come first, such as a comparison's.

    Raises
    ------
    DependencyError
        If matplotlib is not installed.
    """
    model, machine = result.model, result.machine
    return document(
        title=f"{model['name']} on {machine['cpu']}",
        lead=f"{result.made}, {machine['threads']} of {machine['cpus']} processors. "
        f"{what_values_are(result)}",
        parts=[*extra, *sections(result)],
        pictures=plots(result),
        generator=GENERATOR,
    )
