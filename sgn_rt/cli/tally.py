"""How far a command is with its recordings, and what became of them so far."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, Self

from sgn_rt._process import Closes
from sgn_rt.cli.common import console, progress_bar
from sgn_rt.cli.process import say
from sgn_rt.cli.verbosity import is_quiet
from sgn_rt.serving.folders.entry import Entry, Row, Status
from sgn_rt.serving.folders.inputs import Listing

LINE_EVERY_S: Final = 30.0
"""From one line of progress to the next where stderr is no terminal."""
_MOST_FAULTS: Final = 10


class Tally(Closes):
    """Counts, and shows how far the whole is. Use as a context manager.

    Parameters
    ----------
    listing
        What is to be separated.

    Attributes
    ----------
    files
        How many there are.
    counts
        Status -> how many so far.
    """

    def __init__(self, listing: Listing) -> None:
        self._listing, self.files = listing, len(listing)
        self.counts: Counter[str] = Counter()
        self._left_bytes, self._done_bytes = listing.total_bytes, 0
        self._sizes: dict[str, int] = {}
        self._parts: dict[str, float] = {}
        self._faults: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._began = self._told = time.monotonic()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._bar = self._stack.enter_context(progress_bar(self._title()))
        return self

    def close(self) -> None:
        """Take the bar away."""
        self._stack.close()

    def entries(self) -> Iterator[Entry]:
        """What is to be separated, one after another."""
        for entry, size in self._listing.sized():
            self._sizes[entry.key] = size
            yield entry

    def part(self, key: str, done: float) -> None:
        """So much of a recording is done, 0 to 1."""
        self._parts[key] = done
        self._show()

    def end(self, key: str, row: Row, *, earlier: bool) -> Status:
        """Count an outcome; its status in this run."""
        size = self._sizes.pop(key, 0)
        self._parts.pop(key, None)
        if earlier:
            self._left_bytes -= size  # no work, and no measure of how fast work goes
        else:
            self._done_bytes += size
        status = Status(row["status"])
        if status is Status.FAILED:
            fault = str(row["error"]).replace(str(row["input"]), "").lstrip(": ")
            fault = fault.partition(", expected")[0]
            self._faults[fault] += 1
            self._examples.setdefault(fault, key)
        elif earlier:
            status = Status.SKIPPED
        self.counts[status] += 1
        self._show()
        return status

    @property
    def counter(self) -> str:
        """Which one the last was, in front of what is told of it; nothing where it is alone."""
        return f"[{self.counts.total()}/{self.files}] " if self.files > 1 else ""

    def summary(self) -> None:
        """Print how many there were of each status."""
        counts = (f"{self.counts[status]} {status}" for status in Status if self.counts[status])
        console().print(f"{self.files} recordings: {', '.join(counts)}")

    def tell_faults(self) -> None:
        """Tell what failures there were, by message."""
        for fault, count in self._faults.most_common(_MOST_FAULTS):
            say("error", f"{count} x {fault}, such as {self._examples[fault]}")
        if len(self._faults) > _MOST_FAULTS:
            say("error", f"and failures of {len(self._faults) - _MOST_FAULTS} other kinds")

    def _title(self) -> str:
        if self.files == 1:
            return next(iter(self._listing)).path.name
        return f"{self.counts.total()} of {self.files}, {self.counts[Status.FAILED]} failed"

    def _show(self) -> None:
        done = self._done_bytes + sum(
            part * self._sizes.get(key, 0) for key, part in self._parts.items()
        )
        share = done / max(1, self._left_bytes)
        self._bar(share, self._title())
        now = time.monotonic()
        if (
            sys.stderr.isatty() or is_quiet() or self.files == 1
            or now - self._told < LINE_EVERY_S or done <= 0
        ):  # fmt: skip
            return
        self._told = now
        left_s = (now - self._began) * max(0.0, 1.0 - share) / share
        say("progress", f"{self._title()}, {share:.0%} of the bytes, "
            f"about {left_s / 60:.0f} min left")  # fmt: skip
