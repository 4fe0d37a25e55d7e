"""The worst items of a system, with their sounds kept on the disk to listen to."""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from sgn_rt._atomic import write_whole
from sgn_rt._types import Float
from sgn_rt.audio.writer import writing
from sgn_rt.evaluation.protocols.base import Item
from sgn_rt.evaluation.scoring import Separated, Told
from sgn_rt.evaluation.summary import mean_of

FOLDER: Final = "worst"
MOST: Final = 5
EXCERPT_S: Final = 6.0
"""Seconds that are kept: where the mixture is the loudest."""
_ABOUT: Final = "item.json"


@dataclass(frozen=True, slots=True)
class Bad:
    """One of the worst items.

    Attributes
    ----------
    name, value
        Of the item, and its figure, dB.
    sounds
        What it is, and a FLAC file, each.
    """

    name: str
    value: float
    sounds: tuple[tuple[str, Path], ...]


class Worst:
    """Keeps sounds of the worst items so far, in ``FOLDER/worst``: a `sgn_rt.evaluation.run.Keep`.

    Parameters
    ----------
    folder
        Of the evaluation.
    system, metric
        By which figure of which system items are worse than others.
    known
        Names of items that are in the journal; sounds of others are forgotten.
    """

    def __init__(self, folder: Path, system: str, metric: str, known: Container[str]) -> None:
        self._folder, self._system, self._metric = folder / FOLDER, system, metric
        self._kept: dict[str, Bad] = {}
        for place in sorted(self._folder.glob("*")):
            bad = _read(place)
            if bad is not None and bad.name in known:
                self._kept[bad.name] = bad
            else:
                shutil.rmtree(place, ignore_errors=True)

    def __call__(self, separated: Separated, told: Told) -> None:
        """Keep an item's sounds if it is one of the worst."""
        if "systems" not in told or not isinstance(separated.item, Item):
            return
        value = mean_of(told, self._system, self._metric)
        if not math.isfinite(value):
            return
        best = max(self._kept.values(), key=lambda bad: bad.value, default=None)
        if best is not None and len(self._kept) >= MOST:
            if value >= best.value:
                return
            del self._kept[best.name]
            shutil.rmtree(self._place(best.name), ignore_errors=True)
        sounds = excerpts(separated.item, separated.estimates[self._system], self._system)
        self._kept[told["name"]] = self._write(told["name"], value, sounds, separated.item)

    def of(self, items: Sequence[Mapping[str, Any]]) -> list[Bad]:
        """Those among some items, the worst first."""
        names = {item["name"] for item in items}
        kept = (bad for bad in self._kept.values() if bad.name in names)
        return sorted(kept, key=lambda bad: bad.value)

    def _place(self, name: str) -> Path:
        return self._folder / hashlib.sha256(name.encode(errors="replace")).hexdigest()[:16]

    def _write(self, name: str, value: float, sounds: Mapping[str, Float], item: Item) -> Bad:
        place = self._place(name)
        files = [f"{number}.flac" for number in range(len(sounds))]
        with writing(place):
            place.mkdir(parents=True, exist_ok=True)
            for file, signal in zip(files, sounds.values(), strict=True):
                content = io.BytesIO()
                soundfile.write(content, signal, item.sample_rate, format="FLAC", subtype="PCM_16")
                write_whole(place / file, content.getvalue())
            about = {"name": name, "value": value, "sounds": [*zip(sounds, files, strict=True)]}
            write_whole(place / _ABOUT, json.dumps(about).encode())  # the last: it is whole now
        return Bad(name, value, tuple((s, place / f) for s, f in zip(sounds, files, strict=True)))


def _read(place: Path) -> Bad | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        about = json.loads((place / _ABOUT).read_text(encoding="utf-8"))
        sounds = tuple((label, place / file) for label, file in about["sounds"])
        if all(path.is_file() for _, path in sounds):
            return Bad(about["name"], float(about["value"]), sounds)
    return None


def excerpts(item: Item, estimates: Mapping[str, Float], system: str) -> dict[str, Float]:
    """What there is to hear of an item, mono, shape = (samples,), by what it is."""
    signals = {"mixture": item.mixture}
    for label in item.counted:
        signals[f"{label}, true"] = item.sources[label]
    for label, estimate in estimates.items():
        signals[f"{label}, {system}"] = estimate
    start, stop = _loudest(item.mixture.mean(axis=0), round(EXCERPT_S * item.sample_rate))
    cut = {label: signal[:, start:stop].mean(axis=0) for label, signal in signals.items()}
    peak = max(float(np.abs(signal).max(initial=0.0)) for signal in cut.values())
    return {label: signal / max(peak, 1.0) for label, signal in cut.items()}


def _loudest(signal: Float, samples: int) -> tuple[int, int]:
    if len(signal) <= samples:
        return 0, len(signal)
    energy = np.cumsum(np.square(signal, dtype=np.float64))
    start = int(np.argmax(energy[samples:] - energy[:-samples]))
    return start, start + samples
