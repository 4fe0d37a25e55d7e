"""Stems on disk: written whole, all together, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sgn_rt._temporary import remove_leftovers, temporary_folder
from sgn_rt._types import Float
from sgn_rt.audio.file_names import distinct_names
from sgn_rt.audio.writer import AudioWriter, writing
from sgn_rt.audio.writer import Format as Format


def stem_paths(folder: Path, names: Sequence[str], kind: Format) -> dict[str, Path]:
    """The file of each stem: its name, with what file systems do not take replaced by ``_``."""
    return {name: folder / file for name, file in distinct_names(names, f".{kind}").items()}


def expect_folder(folder: Path) -> None:
    """Find out before any work whether a folder can be written or made.

    Raises
    ------
    AudioError
        If it cannot.
    """
    with writing(folder):
        existing = folder
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            raise OSError(f"something at {existing} that is no folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise OSError(f"no permission to write in {existing}")


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
        self._writers: dict[str, AudioWriter] = {}

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
        with writing(self._folder):
            for name, block in blocks.items():
                self._writers[name].write(block)

    def clipped(self) -> list[str]:
        """Stems beyond full scale in a format that clips there."""
        return [name for name, writer in self._writers.items() if writer.clipped]

    def _open(self, work: Path, sample_rate: int, channels: int, frames: int) -> None:
        for name, path in self.paths.items():
            if path.is_dir():
                raise OSError(f"a folder at {path}")
            self._writers[name] = AudioWriter(
                work / path.name, sample_rate, channels, frames, place=self._folder
            )

    def _abandon(self) -> None:
        for writer in self._writers.values():
            writer.abandon()

    def _put_in_place(self) -> None:
        for writer in self._writers.values():
            writer.close()
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
    with ExitStack() as stack:
        stack.callback(_remove_empty, made)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(folder)
            work = stack.enter_context(temporary_folder(folder))
            stack.callback(files._abandon)
            files._open(work, sample_rate, channels, frames)
        yield files
        with writing(folder):
            files._put_in_place()


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
