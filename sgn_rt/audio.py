"""Audio files: read in blocks, written whole or not at all. Formats are libsndfile's."""

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
from sgn_rt.errors import AudioError

Format = Literal["wav", "flac"]
SUBTYPES: Mapping[str, str] = {"wav": "FLOAT", "flac": "PCM_24"}
"""Sample formats written: float32 loses and clips nothing; FLAC has no floating point."""

_WAV_LIMIT = 4_000_000_000
"""Bytes beyond which a WAV file's 32-bit sizes do not do; RF64 does, and is read by the same programs."""


class AudioReader:
    """An audio file, read from its start as often as is wanted.

    Attributes
    ----------
    path
        The file.
    sample_rate
        Hz.
    channels, frames
        Of the file; a frame is one sample of each channel.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise AudioError(f"{path}: got a folder, expected an audio file. Name the file in it.")
        if not self.path.exists():
            raise AudioError(f"{path}: got no such file, expected an audio file. Check the name.")
        try:
            with soundfile.SoundFile(self.path) as file:
                self.sample_rate = int(file.samplerate)
                self.channels = int(file.channels)
                self.frames = int(file.frames)
                log = str(file.extra_info)
        except (soundfile.LibsndfileError, OSError, TypeError) as error:
            raise AudioError(
                f"{path}: got a file that does not read as audio ({_reason(error)}), expected "
                "WAV, FLAC, Ogg, MP3 or another format of libsndfile. Convert it to one."
            ) from error
        self._expect_whole(log)
        if self.frames == 0:
            raise AudioError(f"{path}: got no samples, expected at least one. Check the recording.")

    def _expect_whole(self, log: str) -> None:
        # libsndfile shortens a WAV whose data chunk promises more than there is, and notes it in its log.
        for declared, actual in re.findall(r"data\s*: (\d+) \(should be (\d+)\)", log):
            unknown = int(declared) in (0, 0xFFFFFFFF, 0x7FFFFFFF)  # written to a pipe
            if not unknown and int(declared) > int(actual):
                raise AudioError(
                    f"{self.path}: got {actual} bytes of samples, expected {declared}: the file is "
                    "truncated. Copy it again."
                )

    def blocks(self, frames: int) -> Iterator[Float]:
        """The file from its start, shape = (channels, at most ``frames``) each, float32, full scale 1.

        Raises
        ------
        AudioError
            If the file ends early or does not decode.
        """
        done = 0
        try:
            with soundfile.SoundFile(self.path) as file:
                while True:
                    block = file.read(frames, dtype="float32", always_2d=True)
                    done += len(block)
                    if len(block):
                        yield block.T
                    if len(block) < frames:
                        break
        except (soundfile.LibsndfileError, OSError) as error:
            raise AudioError(
                f"{self.path}: got {_reason(error)} after {done} of {self.frames} frames, expected "
                "to read it all. The file is damaged: copy it again."
            ) from error
        if done != self.frames:
            raise AudioError(
                f"{self.path}: got {done} frames, expected {self.frames}: the file is truncated. "
                "Copy it again."
            )


class _StemWriter:
    """One stem in the making."""

    def __init__(self, path: Path, sample_rate: int, channels: int, frames: int) -> None:
        kind = path.suffix.removeprefix(".")
        large = kind == "wav" and frames * channels * 4 > _WAV_LIMIT
        self.path, self.frames, self.peak = path, 0, 0.0
        self._file: Any = soundfile.SoundFile(
            path,
            "w",
            sample_rate,
            channels,
            subtype=SUBTYPES[kind],
            format="RF64" if large else kind.upper(),
        )

    def write(self, block: Float) -> None:
        self._file.write(block.T)
        self.frames += block.shape[1]
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))

    def close(self) -> None:
        self._file.close()


class StemFiles:
    """The stems of one input while they are written; see `stem_files`."""

    def __init__(self, folder: Path, writers: Mapping[str, _StemWriter]) -> None:
        self._folder, self._writers = folder, dict(writers)

    def write(self, blocks: Mapping[str, Float]) -> None:
        """Append to each stem, shape = (channels, samples) each."""
        for name, block in blocks.items():
            self._writers[name].write(block)

    def clipped(self) -> list[str]:
        """Stems beyond full scale in a format that clips there."""
        return [
            name
            for name, writer in self._writers.items()
            if writer.peak > 1.0 and SUBTYPES[writer.path.suffix.removeprefix(".")] != "FLOAT"
        ]


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
    """Write ``folder/<name>.<format>`` for each name: all of them whole at the end, or none at all.

    Parameters
    ----------
    folder
        Made if missing; stems of the same names in it are replaced at the end, other files stay.
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
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    work: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".sgn-rt-", dir=folder))
        writers: dict[str, _StemWriter] = {}
        try:
            for name in names:
                path = work / f"{name}.{format}"
                writers[name] = _StemWriter(path, sample_rate, channels, frames)
            yield StemFiles(folder, writers)
        finally:
            for writer in writers.values():
                writer.close()
        for writer in writers.values():
            _expect_written(writer.path, frames)
        for writer in writers.values():
            os.replace(writer.path, folder / writer.path.name)
        made = []
    except (soundfile.LibsndfileError, OSError, AssertionError) as error:
        raise AudioError(
            f"{folder}: got {_reason(error)} while writing stems, expected to write {len(names)} "
            f"{format} files of {frames} frames. Check permissions, free space and the format's limits."
        ) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
        for parent in made:
            if parent.exists() and not any(parent.iterdir()):
                parent.rmdir()


def _expect_written(path: Path, frames: int) -> None:
    written = soundfile.info(path).frames
    if written != frames:
        raise OSError(f"{written} frames in {path.name}")


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text or "a short write").strip().rstrip(".").splitlines()[0]
