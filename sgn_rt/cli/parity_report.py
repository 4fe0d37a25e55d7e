"""What ``sgn-rt parity`` writes: complete whatever happens to the run."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias
from xml.etree import ElementTree

from sgn_rt import __version__
from sgn_rt.cli.common import plain, write_json, write_text
from sgn_rt.cli.versions import versions
from sgn_rt.errors import SgnError
from sgn_rt.parity.excerpts import Worst

UNFINISHED: Final = (
    "run: got no end, expected one: it is still going on, or it was killed. Run it again."
)
"""What a report says until its run is over: one of an earlier run must not stand for it."""


class Result(Protocol):
    """A figure and its limit: of a stage, or of a layer."""

    @property
    def passed(self) -> bool:
        """Whether the figure is within its limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An engine compared with the reference, or why it was not.

    Attributes
    ----------
    engine
        As it was named.
    detail
        What really ran.
    results
        Stage or layer -> its figure.
    figures
        The same as JSON types.
    seconds
        What it took, opening included.
    error
        What kept it from being compared.
    skipped
        Why it was left out.
    worst
        Stage -> the window that is worst for it, where windows were looked at one by one.
    sample_rate
        Of those windows, Hz.
    """

    engine: str
    detail: str = ""
    results: Mapping[str, Result] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None
    skipped: str | None = None
    worst: Mapping[str, Worst] = field(default_factory=dict)
    sample_rate: int = 0

    def said(self, name: str) -> str:
        """A figure and its limit, and where it was found."""
        where = self.worst.get(name)
        return f"{self.results[name]}" + (f", worst in {where}" if where else "")

    @property
    def passed(self) -> bool:
        """Whether it was compared, and everything holds."""
        return bool(self.results) and all(result.passed for result in self.results.values())

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        if self.error is not None:
            return {"passed": False, "error": self.error, "seconds": round(self.seconds, 3)}
        told = {"passed": self.passed, "detail": self.detail, "seconds": round(self.seconds, 3)}
        return {**told, **self.figures}


Write: TypeAlias = "Callable[[ParityReport], str]"
"""Makes a report's text."""


class ParityReport:
    """The result of a run, written to the files that were asked for.

    Parameters
    ----------
    bundle
        What is compared, until its name is known.
    json_path, junit
        Files to write, ``-`` for stdout; None for none.
    others
        More of them, each with what makes its text.
    ended
        Called when all is written.
    """

    def __init__(
        self,
        bundle: str,
        json_path: Path | None,
        junit: Path | None,
        others: Sequence[tuple[Path | None, Write]] = (),
        ended: Callable[[ParityReport], None] | None = None,
    ) -> None:
        self.bundle = plain(bundle)
        self.against = ""
        self.changes: Mapping[str, Any] | None = None
        self._writers: list[tuple[Path | None, Callable[[Path], None]]] = [
            (json_path, lambda path: write_json(path, self.to_dict())),
            (junit, lambda path: write_text(path, self.to_junit())),
            *((path, partial(self._write_as, write)) for path, write in others),
        ]
        self._ended = ended
        self.comparisons: list[Comparison] = []
        self.error: str | None = UNFINISHED
        self._began, self._start = datetime.now(UTC), time.perf_counter()

    @property
    def exit_code(self) -> int:
        """0 if everything that was compared holds, 1 if something does not, 2 after an error."""
        if self.error is not None or any(c.error is not None for c in self.comparisons):
            return 2
        return 0 if all(c.passed for c in self.comparisons if c.skipped is None) else 1

    @contextmanager
    def written(self) -> Iterator[None]:
        """Written when the block is left, however that is; until then they say `UNFINISHED`."""
        self._write(files_alone=True)  # a file that cannot be written is told before the work
        try:
            yield
        except BaseException as error:
            self.error = told(error)
            self._write()
            self._end()
            raise
        self.error = None
        self._write()
        self._end()

    def _end(self) -> None:
        if self._ended is not None:
            self._ended(self)

    def _write_as(self, text: Write, path: Path) -> None:
        write_text(path, text(self))

    def _write(self, *, files_alone: bool = False) -> None:
        with ExitStack() as every:  # one that cannot be written keeps no other from it
            for path, write in reversed(self._writers):
                if path is not None and not (files_alone and str(path) == "-"):
                    every.callback(write, path)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "bundle": self.bundle,
            "against": self.against or None,
            "changes": self.changes,
            "passed": self.exit_code == 0,
            "error": self.error,
            "engines": {c.engine: c.to_dict() for c in self.comparisons if c.skipped is None},
            "skipped": {c.engine: c.skipped for c in self.comparisons if c.skipped is not None},
            "began": self._began.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self._start, 3),
            "platform": platform.platform(),
            "versions": _versions(),
        }

    def to_junit(self) -> str:
        """As JUnit XML: a suite for each engine, a case for each stage or layer."""
        root = ElementTree.Element("testsuites", name=plain(f"parity of {self.bundle}"))
        for comparison in self.comparisons:
            root.append(self._suite(comparison))
        if self.error is not None:
            root.append(self._suite(Comparison(engine="run", error=self.error)))
        for count in ("tests", "failures", "errors"):
            root.set(count, str(sum(int(suite.get(count, 0)) for suite in root)))
        root.set("time", f"{time.perf_counter() - self._start:.3f}")
        ElementTree.indent(root)
        return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"

    def _suite(self, comparison: Comparison) -> ElementTree.Element:
        cases = list(_cases(comparison))
        suite = ElementTree.Element(
            "testsuite",
            name=plain(comparison.engine),
            tests=str(len(cases)),
            timestamp=self._began.strftime("%Y-%m-%dT%H:%M:%S"),
            time=f"{comparison.seconds:.3f}",
        )
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(count, str(sum(case.find(tag) is not None for case in cases)))
        properties = ElementTree.SubElement(suite, "properties")
        known = {
            "bundle": self.bundle,
            "engine": comparison.detail,
            "platform": platform.platform(),
        }
        for name, value in (*known.items(), *_versions().items()):
            if value:
                ElementTree.SubElement(properties, "property", name=name, value=plain(value))
        suite.extend(cases)
        return suite


def _cases(comparison: Comparison) -> Iterator[ElementTree.Element]:
    def case(name: str, tag: str, text: str) -> ElementTree.Element:
        made = ElementTree.Element("testcase", classname=plain(comparison.engine), name=plain(name))
        told = ElementTree.SubElement(made, tag)
        if tag == "system-out":
            told.text = plain(text)
        else:
            told.set("message", plain(text))
        return made

    if comparison.skipped is not None:
        yield case("run", "skipped", comparison.skipped)
    for name, result in comparison.results.items():
        yield case(name, "system-out" if result.passed else "failure", comparison.said(name))
    if comparison.error is not None:
        yield case("run", "error", comparison.error)


def _versions() -> dict[str, str]:
    here = {"sgn-rt": __version__, "python": platform.python_version()}
    return here | {name: version for name, version in versions().items() if version}


def told(error: BaseException) -> str:
    """What a report says of an error."""
    if isinstance(error, SgnError):
        return plain(str(error))
    if isinstance(error, KeyboardInterrupt):
        return "run: got an interruption, expected to go on to its end. Run it again."
    first, *_ = [*str(error).strip().splitlines(), ""]
    return plain(
        f"comparison: got {type(error).__name__}: {first}, expected a result. Please report this."
    )
