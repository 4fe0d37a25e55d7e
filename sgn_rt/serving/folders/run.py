"""A run over many recordings: who gets which when, what is tried again, and what is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

from sgn_rt.errors import EngineError, StorageError
from sgn_rt.serving.folders.crew import Crew, Lost, Member
from sgn_rt.serving.folders.desk import Broken, Done, Part, Ready, Warned, Work
from sgn_rt.serving.folders.entry import Entry, Row
from sgn_rt.serving.folders.one import is_settled
from sgn_rt.serving.folders.state import name_of

STILLBORN: Final = 3
"""Workers that end, one after the other, before they have opened the model: then none will."""


class Earlier(NamedTuple):
    """An outcome of an earlier run that still holds."""

    key: str
    row: Row


Event: TypeAlias = Part | Done | Earlier | Warned | Lost


class Run:
    """Has a crew separate entries, once each.

    An entry whose worker was lost is tried again, alone, so that a recording that kills its process
    takes no neighbour along; so is one that an earlier run left unfinished. After so many tries as
    are wanted it is given up (`separate_one`).

    Parameters
    ----------
    crew
        Entered.
    entries
        In their order.
    work
        As the crew's.
    """

    def __init__(self, crew: Crew, entries: Iterable[Entry], work: Work) -> None:
        self._crew, self._entries, self._work = crew, iter(entries), work
        self._state = work.state()
        self._unfinished = frozenset() if self._state is None else self._state.unfinished()
        self._next: Entry | None = None
        self._suspects: deque[Entry] = deque()
        self._stillborn = 0

    def events(self) -> Generator[Event, None, None]:
        """What happens, as it does; the end is that of the run.

        Raises
        ------
        StorageError
            If nothing more can be written.
        EngineError
            If no worker can open the model, or a fault of this package shows.
        """
        while True:
            while (assigned := self._assign()) is not None:
                if isinstance(assigned, Earlier):
                    yield assigned
            if not any(member.entries for member in self._crew.members):
                return
            for told in self._crew.hear():
                if isinstance(told, Broken):
                    raise (StorageError if told.is_storage else EngineError)(told.text)
                if isinstance(told, Ready):
                    self._stillborn = 0
                    continue
                if isinstance(told, Lost):
                    yield from self._lost(told)
                yield told

    def _assign(self) -> Earlier | Entry | None:
        """Give an entry to who has room for it, or find that it is done; None if neither can be."""
        if self._next is None and (entry := next(self._entries, None)) is not None:
            if (row := self._earlier(entry)) is not None:
                return Earlier(entry.key, row)
            if self._state is not None and name_of(entry) in self._unfinished:
                self._suspects.append(entry)
                return entry
            self._next = entry
        alone = bool(self._suspects)
        entry_or_none = self._suspects[0] if alone else self._next
        if entry_or_none is None or (member := self._free(alone=alone)) is None:
            return None
        if alone:
            self._suspects.popleft()
        else:
            self._next = None
        member.begin(entry_or_none, alone=alone)
        return entry_or_none

    def _free(self, *, alone: bool) -> Member | None:
        """Who has least to do, and room for an entry."""
        members = [each for each in self._crew.members if not each.alone]
        idle = next((each for each in members if not each.entries), None) or self._crew.grow()
        if idle is not None or alone:
            return idle
        found = min(members, key=lambda each: len(each.entries), default=None)
        return found if found is not None and len(found.entries) < found.size else None

    def _earlier(self, entry: Entry) -> Row | None:
        """An outcome that is the last word of an entry; None if there is none."""
        row = None if self._state is None else self._state.done(entry)
        if row is None or not is_settled(row, self._work.tries):
            return None
        addition = self._work.addition
        places = {(self._work.output / stem).parent for stem in row["stems"].values()}
        if addition is not None and not all((at / addition.name).is_file() for at in places):
            return None
        return row

    def _lost(self, lost: Lost) -> Iterator[Done]:
        """Have what a lost worker was at tried again; what it had done, but not told, is told."""
        self._stillborn = 0 if lost.was_ready else self._stillborn + 1
        if self._stillborn >= STILLBORN:
            raise EngineError(
                f"workers: got {STILLBORN} that ended while they opened the model ({lost.how}), "
                "expected them to open it. Take fewer --jobs if memory is short, or see what -v "
                "tells."
            )
        for entry in lost.entries:
            row = self._earlier(entry)
            if row is None:
                self._suspects.append(entry)
            else:
                yield Done(entry.key, row)
