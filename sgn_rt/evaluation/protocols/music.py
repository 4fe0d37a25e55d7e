"""MUSIC: two clips of two classes, mixed as Sound-of-Pixels mixes, and iQuery's fixed pairs."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import read_mono
from sgn_rt.errors import AudioError
from sgn_rt.evaluation.metrics import bss_eval_v3
from sgn_rt.evaluation.protocols.base import (
    Dropped,
    Item,
    Labels,
    Protocol,
    Score,
    expect_file,
    expect_folder,
)
from sgn_rt.evaluation.sound import SILENT, centre, is_any_silent

RATE: Final = 11_025
WINDOW: Final = 65_535
"""Samples of a clip: that of Sound-of-Pixels."""
LIST: Final = "val.csv"
PAIRS: Final = "pairs.csv"
ANOTHER_CLASS: Final = 1000
"""Draws at most until the second clip is of another class."""

_MIXING = (
    "11 025 Hz mono, 65 535 samples from the middle of each clip, clipped to full scale, halved "
    "and summed. BSS Eval version 3 without permutation, estimates clipped to full scale; pairs "
    "with a silent source or estimate are dropped; mean over the sources of a pair, then over "
    "pairs."
)


class Duets(Protocol):
    """Pairs of clips, halved and summed."""

    metrics = ("sdr", "sir", "sar")

    def score(self, item: Item, estimates: Mapping[str, Float]) -> list[Score] | Dropped:
        return scored_pair(item, estimates)


class MusicPairs(Duets):
    """Sound-of-Pixels' list; for clip i a generator seeded with i draws one of another class."""

    name = "music:sop"
    about = (
        f"{LIST} (audio_path, frames_dir, n_frames; the class is the parent folder's name): for "
        f"clip i a generator seeded with i draws a second of another class. {_MIXING}"
    )
    different = True

    def items(self, root: Path, labels: Labels) -> Iterator[Item | Dropped]:
        clips = read_list(root, self.name)
        for at, first in enumerate(clips):
            second = draw(clips, at, different=self.different)
            yield duet(f"{at:05d} {first.stem}+{second.stem}", (first, second), labels)


class MusicAnyPair(MusicPairs):
    """As Sound-of-Pixels itself draws: the second clip may be of the first one's class."""

    name = "music:sop-any"
    about = (
        f"As music:sop, but the second clip may be of the same class, as Sound-of-Pixels itself "
        f"draws; a pair of one class is dropped, as it has one category. {_MIXING}"
    )
    different = False


class MusicIquery(Duets):
    """iQuery's fixed pairs."""

    name = "music:iquery"
    about = f"{PAIRS} (two paths a row): the fixed pairs of iQuery. {_MIXING}"

    def items(self, root: Path, labels: Labels) -> Iterator[Item | Dropped]:
        expect_folder(root, self.name, f"a folder with {PAIRS}")
        with expect_file(root / PAIRS, "iQuery's pairs").open(newline="", encoding="utf-8") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
        for at, row in enumerate(rows):
            if len(row) != 2:
                raise AudioError(
                    f"{root / PAIRS}: got {len(row)} columns in row {at + 1}, expected two paths. "
                    "Take iQuery's own file."
                )
            first, second = (expect_file(root / cell, f"a clip of {PAIRS}") for cell in row)
            yield duet(f"{at:05d} {first.stem}+{second.stem}", (first, second), labels)


def read_list(root: Path, protocol: str) -> list[Path]:
    """Clips of a list without a header: ``audio_path,frames_dir,n_frames``."""
    expect_folder(root, protocol, f"a folder with {LIST}")
    with expect_file(root / LIST, "the list of clips").open(newline="", encoding="utf-8") as file:
        clips = [root / row[0].strip() for row in csv.reader(file) if row]
    if len(clips) < 2:
        raise AudioError(f"{root / LIST}: got {len(clips)} clips, expected two or more. Add some.")
    return [expect_file(clip, f"a clip of {LIST}") for clip in clips]


def draw(clips: Sequence[Path], at: int, *, different: bool) -> Path:
    """The second clip of clip ``at``, by Python's generator seeded with ``at``."""
    generator = random.Random(at)
    for _ in range(ANOTHER_CLASS):
        second = clips[generator.randint(0, len(clips) - 1)]
        if not different or second.parent.name != clips[at].parent.name:
            return second
    raise AudioError(
        f"{clips[at]}: got no clip of another class in {ANOTHER_CLASS} draws, expected several "
        "classes. Add clips of others."
    )


def duet(
    name: str, clips: Sequence[Path], labels: Labels, classes: Sequence[str] | None = None
) -> Item | Dropped:
    """Two clips as one item: each from its middle, clipped, halved; the mixture is their sum."""
    named = list(classes) if classes is not None else [clip.parent.name for clip in clips]
    found = [labels.category(label) for label in named]
    if None in found:
        return Dropped(name, "the model has no category of a source's class")
    if found[0] == found[1]:
        return Dropped(name, "both sources are of one category")
    halves = [
        np.clip(centre(read_mono(clip, RATE), WINDOW), -1.0, 1.0)[None] / np.float32(2)
        for clip in clips
    ]
    if any(np.abs(half).sum() <= SILENT for half in halves):
        return Dropped(name, "a source is silent")
    categories = {label: c for label, c in zip(named, found, strict=True) if c is not None}
    sources = dict(zip(named, halves, strict=True))
    return Item(
        name=name, sample_rate=RATE, mixture=halves[0] + halves[1], sources=sources,
        categories=categories,
    )  # fmt: skip


def scored_pair(item: Item, estimates: Mapping[str, Float]) -> list[Score] | Dropped:
    """BSS Eval version 3 of a pair, or why it does not count."""
    references = np.concatenate([item.sources[label] for label in item.counted])
    found = np.concatenate([np.clip(estimates[label], -1.0, 1.0) for label in item.counted])
    if is_any_silent(found):
        return Dropped(item.name, "an estimate is silent")
    figures = bss_eval_v3(references, found)
    return [
        Score(
            source=label,
            group=item.categories[label],
            figures={key: float(values[at]) for key, values in figures.items()},
        )
        for at, label in enumerate(item.counted)
    ]
