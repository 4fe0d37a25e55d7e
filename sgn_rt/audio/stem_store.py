"""Sources of a recording as files in the making: in order, or found late and put together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile

from sgn_rt._types import Float
from sgn_rt.audio.file_names import distinct_names
from sgn_rt.audio.recording import Recording
from sgn_rt.audio.run_folder import RunFolder
from sgn_rt.audio.samples import residual
from sgn_rt.audio.writer import AudioWriter, Format, writing

BLOCK = 1 << 16
"""Frames copied at a time."""


class StemStore:
    """Writes each source as its samples come, as float32 WAV where it is not yet known to stay.

    Parameters
    ----------
    folder
        Of the run, entered.
    known
        Every name that there may be: files are called the same whichever of them there are.
    format
        Of the files.
    sample_rate, channels, frames
        Of every file.
    """

    def __init__(
        self,
        folder: RunFolder,
        known: Sequence[str],
        *,
        format: Format,  # noqa: A002 - the option's name
        sample_rate: int,
        channels: int,
        frames: int,
    ) -> None:
        self._folder, self._frames = folder, frames
        self._sample_rate, self._channels = sample_rate, channels
        self._names = distinct_names(tuple(dict.fromkeys(known)), f".{format}")
        self._final: dict[str, AudioWriter] = {}
        self._spools: dict[str, dict[int, AudioWriter]] = {}
        self._format, self._found = format, True

    def begin(self, named: Sequence[str] | None) -> None:
        """Begin to write, in the run's folder.

        Parameters
        ----------
        named
            The names, where they are certain: then what is written is final. None where they are
            found.

        Raises
        ------
        AudioError
            If a file of that format cannot be written, also by all that writes.
        """
        self._found = named is None
        for name in named or ():
            self._final[name] = self._writer(self._names[name], self._frames)
        if named is None and self._format != "wav":  # found out before the work whether it can be
            trial = self._writer(f"trial.{self._format}", 1)
            trial.write(np.zeros((self._channels, 1), np.float32))
            trial.close()
            trial.path.unlink()

    def _writer(self, name: str, frames: int) -> AudioWriter:
        return self._folder.writer(name, self._sample_rate, self._channels, frames)

    def write(self, name: str, start: int, block: Float) -> None:
        """Write samples of a source from ``start`` on, shape = (channels, samples)."""
        if not self._found:
            self._final[name].write(block)
            return
        spools = self._spools.setdefault(name, {})
        for begin, spool in spools.items():
            if begin + spool.frames == start:
                spool.write(block)
                return
        # What was found late: from there to the end, and later what lies before.
        stop = min((begin for begin in spools if begin > start), default=self._frames)
        number = sorted(self._names).index(name)
        spools[start] = self._writer(f"spool-{number}-{start}.wav", stop - start)
        spools[start].write(block)

    def drop(self, name: str) -> None:
        """Forget a source."""
        for spool in self._spools.pop(name, {}).values():
            spool.abandon()
            spool.path.unlink()

    def add_residual(self, name: str, names: Sequence[str], recording: Recording) -> None:
        """Write what is left of the recording without the sources found."""
        self._join_spools()
        at = 0
        with ExitStack() as stack:
            spools = [os.fsencode(self._spools[stem][0].path) for stem in names]
            stems = [stack.enter_context(soundfile.SoundFile(path)) for path in spools]
            for block in recording.blocks(BLOCK):  # of whatever lengths its reader gives
                length = block.shape[1]
                parts = [file.read(length, dtype="float32", always_2d=True).T for file in stems]
                self.write(name, at, residual(block, parts))
                at += length

    def finish(self) -> dict[str, Path]:
        """Close everything; the files, by name, each in the run's work folder."""
        self._join_spools()
        for name, spools in self._spools.items():
            target = self._folder.work / self._names[name]
            if target.suffix == ".wav":
                spools[0].path.rename(target)
                spools[0].path = target
                self._final[name] = spools[0]
                continue
            self._final[name] = self._writer(target.name, self._frames)
            for block in self._blocks(spools[0].path):
                self._final[name].write(block)
            self._final[name].close()
            spools[0].path.unlink()
        if not self._found:
            for writer in self._final.values():
                writer.close()
        return {name: writer.path for name, writer in self._final.items()}

    def clipped(self) -> tuple[str, ...]:
        """Sources beyond full scale in a format that clips there."""
        return tuple(name for name, writer in self._final.items() if writer.clipped)

    def close(self) -> None:
        """Let go of everything; after `finish` there is nothing left to let go of."""
        for spools in self._spools.values():
            for spool in spools.values():
                spool.abandon()
        for writer in self._final.values():
            writer.abandon()

    def _join_spools(self) -> None:
        """One whole spool for each source."""
        for name, spools in self._spools.items():
            for spool in spools.values():
                if spool.is_open:
                    spool.close()
            if len(spools) == 1:
                continue
            whole = self._writer(f"whole-{sorted(self._names).index(name)}.wav", self._frames)
            for begin in sorted(spools):
                for block in self._blocks(spools[begin].path):
                    whole.write(block)
                spools[begin].path.unlink()
            whole.close()
            self._spools[name] = {0: whole}

    def _blocks(self, path: Path) -> Iterator[Float]:
        with writing(self._folder.path), soundfile.SoundFile(os.fsencode(path)) as file:
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                yield block.T
