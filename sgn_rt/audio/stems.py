"""Stems on disk: written whole, all together, or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile

from sgn_rt._types import Float
from sgn_rt.audio.reader import reason
from sgn_rt.errors import AudioError

Format = Literal["wav", "flac"]
SUBTYPES: Mapping[str, str] = {"wav": "FLOAT", "flac": "PCM_24"}
"""Sample formats written: float32 loses and clips nothing; FLAC has no floating point."""

_WAV_LIMIT = 4_000_000_000
"""Bytes beyond which a WAV file's 32-bit sizes do not do; RF64 does, and is read by the same
programs."""

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]|^\.|[. ]$')
"""What a file name must not hold, or begin or end with, on some system or other."""


def stem_paths(folder: Path, names: Sequence[str], kind: Format) -> dict[str, Path]:
    """The file of each stem: its name, with what file systems do not take replaced by ``_``."""
    paths: dict[str, Path] = {}
    taken: set[str] = set()
    for name in names:
        safe = _UNSAFE.sub("_", name)
        candidate, count = safe, 1
        while candidate.casefold() in taken:
            count += 1
            candidate = f"{safe}-{count}"
        taken.add(candidate.casefold())
        paths[name] = folder / f"{candidate}.{kind}"
    return paths


def expect_folder(folder: Path) -> None:
    """Find out before any work whether a folder can be written or made.

    Raises
    ------
    AudioError
        If it cannot.
    """
    with _told(folder):
        existing = folder
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            raise OSError(f"something at {existing} that is no folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise OSError(f"no permission to write in {existing}")


class _StemWriter:
    """One stem in the making."""

    def __init__(self, path: Path, sample_rate: int, channels: int, frames: int) -> None:
        kind = path.suffix.removeprefix(".")
        large = kind == "wav" and frames * channels * 4 > _WAV_LIMIT
        self.path, self.peak = path, 0.0
        self._file: Any = soundfile.SoundFile(
            path,
            "w",
            sample_rate,
            channels,
            subtype=SUBTYPES[kind],
            format="RF64" if large else kind.upper(),
        )

    def write(self, block: Float) -> None:
        try:
            self._file.write(block.T)
        except AssertionError as error:  # how soundfile tells of a short write
            raise OSError("a short write") from error
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))

    def close(self) -> None:
        self._file.close()


class StemFiles:
    """The stems of one input while they are written; see `stem_files`.

    Attributes
    ----------
    paths
        Where each stem will be.
    """

    def __init__(self, folder: Path, paths: Mapping[str, Path]) -> None:
        self.paths = dict(paths)
        self._folder = folder
        self._writers: dict[str, _StemWriter] = {}

    def write(self, blocks: Mapping[str, Float]) -> None:
        """Append to each stem.

        Parameters
        ----------
        blocks
            Name -> shape = (channels, samples), float32, full scale 1.

        Raises
        ------
        AudioError
            If it cannot be written.
        """
        with _told(self._folder):
            for name, block in blocks.items():
                self._writers[name].write(block)

    def clipped(self) -> list[str]:
        """Stems beyond full scale in a format that clips there."""
        return [
            name
            for name, writer in self._writers.items()
            if writer.peak > 1.0 and SUBTYPES[writer.path.suffix.removeprefix(".")] != "FLOAT"
        ]

    def _open(self, work: Path, sample_rate: int, channels: int, frames: int) -> None:
        for name, path in self.paths.items():
            if path.is_dir():
                raise OSError(f"a folder at {path}")
            self._writers[name] = _StemWriter(work / path.name, sample_rate, channels, frames)

    def _close(self) -> None:
        errors = []
        for writer in self._writers.values():
            try:
                writer.close()
            except (soundfile.LibsndfileError, OSError) as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _put_in_place(self, frames: int) -> None:
        for writer in self._writers.values():
            written = soundfile.info(writer.path).frames
            if written != frames:
                raise OSError(f"{written} frames in {writer.path.name}")
        for name, writer in self._writers.items():
            os.replace(writer.path, self.paths[name])


@contextmanager
def stem_files(
    folder: Path,
    names: Sequence[str],
    *,
    format: Format,  # noqa: A002 - the option's name
    sample_rate: int,
    channels: int,
    frames: int,
) -> Iterator[StemFiles]:
    """Write the files of `stem_paths`: all of them whole at the end, or none at all.

    Parameters
    ----------
    folder
        Made if missing and there is a stem at all; stems of the same names in it are replaced at
        the end, other files stay.
    names
        Of the stems.
    format
        ``wav`` (float32) or ``flac`` (24 bit).
    sample_rate, channels, frames
        Of every stem.

    Raises
    ------
    AudioError
        If anything cannot be written; nothing is left behind then.
    """
    files = StemFiles(folder, stem_paths(folder, names, format))
    if not names:
        yield files
        return
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    work: Path | None = None
    try:
        with _told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".sgn-rt-", dir=folder))
        try:
            with _told(folder):
                files._open(work, sample_rate, channels, frames)
            yield files
        finally:
            with _told(folder):
                files._close()
        with _told(folder):
            files._put_in_place(frames)
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Say of an error what it kept from happening."""
    try:
        yield
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(
            f"{folder}: got {reason(error)}, expected to write stems there. "
            "Check the name, permissions, free space and the format's limits."
        ) from error
