"""What comes down: a zip of stems and a report, as arrays or as files."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import soundfile

from sgn_rt._types import Float
from sgn_rt.audio.run_folder import STEMS, RunFolder
from sgn_rt.audio.run_manifest import RUN_MANIFEST, is_plain
from sgn_rt.audio.writer import writing
from sgn_rt.serving.client.failures import not_ours

_REPORT: Final = "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSeparation:
    """A recording that a server has separated, in memory.

    Attributes
    ----------
    sources
        Category (and ``residual``, where asked for) -> shape = (channels, samples), float32.
    sample_rate
        Hz, of the recording and of every source.
    report
        What ``sgn-rt separate --json`` tells: presence, engine, times and more; JSON types.
    """

    sources: dict[str, Float]
    sample_rate: int
    report: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFiles:
    """A recording that a server has separated, on this machine's disk.

    Attributes
    ----------
    stems
        Category (and ``residual``, where asked for) -> file.
    report
        As `RemoteSeparation.report`.
    """

    stems: dict[str, Path]
    report: dict[str, Any]


class Answer:
    """A zip that has come.

    Parameters
    ----------
    file
        It, whole; the caller closes it.

    Attributes
    ----------
    report
        What it says.

    Raises
    ------
    ServerError
        If it is no such zip.
    """

    def __init__(self, file: IO[bytes]) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
            self.report: dict[str, Any] = json.loads(self._zip.read(_REPORT))
            self._stems = {str(key): str(name) for key, name in self.report["stems"].items()}
            _expect_plain([self._zip.getinfo(name).filename for name in self._stems.values()])
        except (zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError) as error:
            raise not_ours(f"what is no zip of stems ({error!r:.80})") from error

    def in_memory(self) -> RemoteSeparation:
        """Its stems as arrays."""
        sources: dict[str, Float] = {}
        for category, name in self._stems.items():
            with self._opened(name) as member:
                content = io.BytesIO(member.read())
            samples, _ = soundfile.read(content, dtype="float32", always_2d=True)
            sources[category] = np.ascontiguousarray(samples.T)
        rate = int(self.report["sample_rate"])
        return RemoteSeparation(sources=sources, sample_rate=rate, report=self.report)

    def to_folder(self, folder: RunFolder, facts: Mapping[str, Any]) -> RemoteFiles:
        """Its stems as files of a run's folder, which is entered: all of them, or none."""
        files = {name: folder.work / name for name in self._stems.values()}
        with writing(folder.path):
            for name, path in files.items():
                with self._opened(name) as member, path.open("xb") as target:
                    shutil.copyfileobj(member, target, 1 << 20)
        places = folder.commit(files, {**facts, STEMS: self._stems})
        stems = {category: places[name] for category, name in self._stems.items()}
        return RemoteFiles(stems=stems, report=self.report)

    @contextmanager
    def _opened(self, name: str) -> Iterator[IO[bytes]]:
        """A file of the zip; its checksum is seen to when it has been read."""
        try:
            with self._zip.open(name) as member:
                yield member
        except (zipfile.BadZipFile, EOFError) as error:
            raise not_ours(f"{name}, which is damaged ({error})") from error


def _expect_plain(names: Sequence[str]) -> None:
    """No path of a server's becomes one here, nor does a stem take the manifest's place."""
    for name in names:
        if not is_plain(name) or name == RUN_MANIFEST:
            raise ValueError(f"a file called {name!r}")
