"""Where each recording of many has its stems: a rule of all their keys, of nothing else."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from sgn_rt.audio.file_names import as_one, safe_name


class Named(NamedTuple):
    """What a recording is called in a run.

    Attributes
    ----------
    key
        Its path there, with ``/``.
    output
        The folder that somebody chose for it, relative; None for that of the rule.
    """

    key: str
    output: str | None = None


class FolderRule:
    """The folder of each of some recordings, relative to that of the output, no two alike.

    A recording called ``a/b.wav`` goes to ``a/b``. Where another would go there, too, or has its
    own folder inside of that, all of them keep their ending: ``a/b.wav``, ``a/b.mp3``. Those that
    are still alike end with a digest of their key. Names are alike where some file system takes
    them for the same: whatever their case, their Unicode composition, or what `safe_name` replaces
    in them. Neither the order nor what is there already counts, so every run and every machine
    that is given the same recordings comes to the same folders.

    Parameters
    ----------
    recordings
        All of them; eight bytes of each are kept a few times.
    """

    def __init__(self, recordings: Iterable[Named]) -> None:
        self._plain, self._with_ending, self._parents = _Claims(), _Claims(), set[int]()
        for recording in recordings:
            plain = self.plain(recording)
            self._plain.add(_number(plain))
            if recording.output is None:
                self._with_ending.add(_number(_with_ending(recording.key)))
            self._parents.update(_number(str(parent)) for parent in PurePosixPath(plain).parents)

    @staticmethod
    def plain(recording: Named) -> str:
        """Its folder if nobody else is in the way."""
        if recording.output is not None:
            return recording.output
        *above, last = _parts(recording.key)
        return "/".join(map(safe_name, (*above, PurePosixPath(last).stem)))

    def of(self, recording: Named) -> str:
        """The folder of one of them; that of somebody's choice as it is."""
        plain = self.plain(recording)
        if recording.output is not None or self.is_alone(recording):
            return plain
        named = _with_ending(recording.key)
        number = _number(named)
        if self._is_free(number, self._with_ending) and number not in self._plain.once:
            return named
        digest = hashlib.sha256(os.fsencode(recording.key)).hexdigest()[:12]
        *above, last = _parts(recording.key)
        return "/".join((*map(safe_name, above), safe_name(last, f"-{digest}")))

    def is_alone(self, recording: Named) -> bool:
        """Whether no other is like it, nor inside of it."""
        return self._is_free(_number(self.plain(recording)), self._plain)

    def clash(self, recording: Named) -> str | None:
        """What is wrong with a folder that somebody chose; None if nothing is."""
        number = _number(self.plain(recording))
        if number in self._parents:
            return "another one's folder inside of it"
        return "another one of that folder" if number in self._plain.twice else None

    def _is_free(self, number: int, claims: _Claims) -> bool:
        return number not in claims.twice and number not in self._parents


class _Claims:
    """Numbers that were seen, and those of them that were seen twice."""

    def __init__(self) -> None:
        self.once: set[int] = set()
        self.twice: set[int] = set()

    def add(self, number: int) -> None:
        (self.twice if number in self.once else self.once).add(number)


def _with_ending(key: str) -> str:
    return "/".join(map(safe_name, _parts(key)))


def _parts(key: str) -> list[str]:
    """The names in a key, without what leads out of a folder."""
    return list(_inner(PurePosixPath(key).parts)) or [key]


def _inner(parts: Iterable[str]) -> Iterator[str]:
    return (part for part in parts if part not in ("/", "//", "..", "."))


def _number(folder: str) -> int:
    """Equal for folders that are alike, and for no others as far as 64 bits tell."""
    same = as_one(folder).encode(errors="surrogateescape")
    digest = hashlib.blake2b(same, digest_size=8).digest()
    return int.from_bytes(digest)
