"""Mixtures with their true stems: what parity is probed on and quality is measured with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.reader import open_audio
from sgn_rt.audio.resample import at_rate
from sgn_rt.errors import AudioError

MIXTURE = "mix"

_NO_MUSIC: Final = frozenset({".md", ".txt", ".json", ".csv", ".cue", ".jpg", ".png", ".pdf"})
"""Files that lie beside music."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A mixture and the stems it was mixed from, mono, float32, full scale 1.

    Attributes
    ----------
    name
        Of the piece.
    mixture
        shape = (samples,).
    stems
        Category -> shape = (samples,).
    """

    name: str
    mixture: Float
    stems: dict[str, Float]


def shipped_music() -> Path:
    """Folder of the music that ships with the package."""
    return Path(__file__).parents[1] / "data" / "music"


def shipped_mixtures() -> list[Path]:
    """Mixtures of the music that ships with the package, by name."""
    return sorted(shipped_music().glob(f"*.{MIXTURE}.*"))


def load_music(folder: str | Path | None, sample_rate: int) -> list[Piece]:
    """Read ``NAME.mix.EXT`` with ``NAME.<category>.EXT`` for each stem, by name.

    Parameters
    ----------
    folder
        None for the music that ships with the package. Channels are averaged.
    sample_rate
        To which everything is converted, Hz.

    Raises
    ------
    AudioError
        If the folder holds no mixture, a file does not read, or a stem is not of its mixture's
        length.
    """
    root = shipped_music() if folder is None else Path(folder)
    files = sorted(path for path in root.iterdir() if path.is_file()) if root.is_dir() else []
    pieces = []
    for path in files:
        name = path.stem.removesuffix(f".{MIXTURE}")
        if name == path.stem:
            continue
        mixture = read_mono(path, sample_rate)
        stems = {}
        for category, stem in stems_of(path, files).items():
            stems[category] = read_mono(stem, sample_rate)
            if len(stems[category]) != len(mixture):
                raise AudioError(
                    f"{stem}: got {len(stems[category])} samples at {sample_rate} Hz, expected the "
                    f"mixture's {len(mixture)}. Cut both to one length."
                )
        pieces.append(Piece(name, mixture, stems))
    if not pieces:
        raise AudioError(
            f"{root}: got no mixture, expected files NAME.{MIXTURE}.flac (or .wav) with "
            "NAME.<category>.flac beside them. Name the folder that holds them."
        )
    return pieces


def stems_of(mixture: Path, files: Iterable[Path]) -> dict[str, Path]:
    """Of some files the stems of ``NAME.mix.EXT``, by category; none for another name."""
    name = mixture.stem.removesuffix(f".{MIXTURE}")
    if name == mixture.stem:
        return {}
    found = {}
    for path in files:
        category = path.stem.removeprefix(f"{name}.")
        if path.suffix == mixture.suffix and category not in (path.stem, MIXTURE):
            found[category] = path
    return found


def load_mixtures(folder: str | Path, sample_rate: int) -> list[Piece]:
    """As `load_music`; where no file is called NAME.mix.EXT every recording is a mixture.

    Raises
    ------
    AudioError
        As `load_music`.
    """
    root = Path(folder)
    files = sorted(path for path in root.iterdir() if path.is_file()) if root.is_dir() else []
    if not files or any(path.stem.endswith(f".{MIXTURE}") for path in files):
        return load_music(root, sample_rate)
    heard = [path for path in files if path.suffix.lower() not in _NO_MUSIC]
    return [Piece(path.name, read_mono(path, sample_rate), {}) for path in heard]


def read_mono(path: Path, sample_rate: int) -> Float:
    """A recording at ``sample_rate`` Hz, its channels averaged, shape = (samples,).

    Raises
    ------
    AudioError
        If it does not read.
    """
    reader = open_audio(path)
    signal = np.concatenate(list(reader.blocks(1 << 20)), axis=1).mean(axis=0, dtype=np.float32)
    return at_rate(signal, reader.sample_rate, sample_rate)
