"""What ``sgn-rt bench`` shows and writes; what could keep it from that is found before the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from sgn_rt.benchmarks.report.comparison import LIMIT, compare
from sgn_rt.benchmarks.report.files import read_result, told_and_checked
from sgn_rt.benchmarks.report.history import History
from sgn_rt.benchmarks.report.markdown import as_markdown
from sgn_rt.benchmarks.report.page import as_page
from sgn_rt.benchmarks.report.sections import sections, what_values_are
from sgn_rt.benchmarks.report.verdict import comparison_section
from sgn_rt.benchmarks.result import Result
from sgn_rt.cli.common import console, table, write_json, write_text
from sgn_rt.errors import ConfigError
from sgn_rt.pages.parts import Section
from sgn_rt.pages.svg import require_matplotlib

_ELSEWHERE: Final = ("machine",)
"""Sections that a terminal does not show: they are in every file."""
_LAST: Final = ("summary", "comparison")
"""What a terminal shows at the end, where the eye is."""


class Output:
    """Where a result goes.

    Parameters
    ----------
    json_path, markdown, page
        Files to write, ``-`` for stdout; None for none.
    history
        Folder of all runs.
    old
        Earlier run to compare with.
    limit
        Per cent by which a figure may be worse than in it; None for `LIMIT`.

    Raises
    ------
    ConfigError
        If something of it cannot work.
    DependencyError
        If a package for it is not installed.
    """

    def __init__(
        self,
        json_path: Path | None,
        markdown: Path | None,
        page: Path | None,
        history: Path | None,
        old: Path | None,
        limit: float | None,
    ) -> None:
        on_stdout = [path for path in (json_path, markdown, page) if str(path) == "-"]
        if len(on_stdout) > 1:
            raise ConfigError(
                f"-: got {len(on_stdout)} files for stdout, expected one at the most. "
                "Name a file for the others."
            )
        if limit is not None and old is None:
            raise ConfigError(
                f"--limit: got {limit:g} without --compare, expected an earlier run to compare "
                "with. Name one, or leave it out."
            )
        if page is not None or history is not None:
            require_matplotlib()
        self._json, self._markdown, self._page = json_path, markdown, page
        self._tables = not on_stdout
        self._history = None if history is None else History(history)
        self._old = None if old is None else read_result(old)
        self._limit = LIMIT if limit is None else limit / 100

    def read(self, path: Path) -> Result:
        """A run that is over; it is not kept in a history twice.

        Raises
        ------
        ConfigError
            If the file holds none, or the history has it.
        DependencyError
            If jsonschema is not installed.
        """
        result = read_result(path)
        if self._history is not None and result in self._history.runs:
            raise ConfigError(
                f"--history: got the run of {result.made}, expected one that "
                f"{self._history.folder} has not. Leave out --from or --history."
            )
        return result

    def keep(self, result: Result) -> None:
        """Write what there is of a run that goes on."""
        if self._json is not None and str(self._json) != "-":
            write_json(self._json, result.to_dict())

    def write(self, result: Result) -> int:
        """Write and show everything, first what nothing else could bring back.

        Returns
        -------
        int
            The comparison's exit code, 0 without one.
        """
        told, wrong = told_and_checked(result)
        if self._json is not None:
            write_json(self._json, told)
        if self._history is not None:
            self._history.add(result)
        compared = None if self._old is None else compare(self._old, result, self._limit)
        extra = [] if compared is None else [comparison_section(compared)]
        if self._markdown is not None:
            write_text(self._markdown, as_markdown(result, extra=extra))
        if self._page is not None:
            write_text(self._page, as_page(result, extra))
        if self._tables:
            show([*sections(result), *extra], console(), _head(result))
        if wrong is not None:
            raise ConfigError(
                f"result: got {wrong}, expected what the published schema says. All of it has been "
                "written; please report it."
            )
        return 0 if compared is None else compared.exit_code


def _head(result: Result) -> str:
    machine = result.machine
    load = machine.get("load")
    return (
        f"{machine['cpu']}, {machine['threads']} of {machine['cpus']} processors"
        f"{'' if load is None else f', load {load:.1f} before'}. {what_values_are(result)}"
    )


def show(told: Sequence[Section], out: Console, head: str) -> None:
    """Print a result's sections."""
    out.print(head)
    shown = [section for section in told if section.key not in _ELSEWHERE]
    for section in sorted(shown, key=lambda each: _place(each.key)):
        _show_section(section, out)


def _place(key: str) -> int:
    return _LAST.index(key) + 1 if key in _LAST else 0


def _show_section(section: Section, out: Console) -> None:
    out.print()
    out.print(section.title.upper(), style="bold")
    if section.about:
        out.print(section.about)
    for part in section.tables:
        out.print()
        out.print(part.title)
        rows = table(*part.columns)
        for row in part.rows:
            rows.add_row(*row)
        out.print(rows)
        _show_notes(part.notes, out)


def _show_notes(notes: Iterable[str], out: Console) -> None:
    for note in notes:
        out.print(f"  {note}", style="dim")
