"""Quality by the number of sources: own solos, one folder a category, mixed one by one more."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.file_names import ENDINGS
from sgn_rt.audio.labelled_music import read_mono
from sgn_rt.errors import AudioError
from sgn_rt.evaluation.protocols.base import Dropped, Item, Labels, Protocol, Score, expect_folder
from sgn_rt.evaluation.sound import SILENT, centre, is_any_silent
from sgn_rt.parity.metrics import si_sdr

RATE: Final = 16_000
SECONDS: Final = 6
MOST: Final = 8
"""Sources in a mixture, where there are solos of as many categories."""
ROUNDS: Final = 20
"""Mixtures of each number of sources."""
LEVEL: Final = 0.1
"""RMS of each source before the sum is brought to full scale at the most."""


class Sources(Protocol):
    """A chain of mixtures, each with one source more than the one before."""

    name = "sources"
    about = (
        f"Solos, CATEGORY/*.wav: {ROUNDS} times, by a seeded generator, clips of distinct "
        f"categories are drawn, {SECONDS} s from the middle of each, {RATE} Hz mono, of one RMS, "
        f"and mixtures made of the first 1, 2, ... up to {MOST} of them. SI-SDR without removal of "
        "the mean; mean over the sources of a mixture, then over mixtures."
    )
    metrics = ("si_sdr", "si_sdr_improvement")

    def items(self, root: Path, labels: Labels) -> Iterator[Item | Dropped]:
        expect_folder(root, self.name, "a folder of solos for each category")
        solos = {
            place.name: files
            for place in sorted(root.iterdir())
            if place.is_dir()
            and (files := [f for f in sorted(place.iterdir()) if f.suffix.lower() in ENDINGS])
        }
        if not solos:
            raise AudioError(
                f"{root}: got no solo, expected CATEGORY/NAME.wav. Name the folder that holds "
                "the categories."
            )
        known: dict[str, list[Path]] = {}
        for label, files in solos.items():
            category = labels.category(label)
            if category is None:
                yield Dropped(label, "the model has no category of a folder of solos")
            else:
                known.setdefault(category, []).extend(files)
        for number in range(ROUNDS if known else 0):
            yield from _chain(number, known)

    def score(self, item: Item, estimates: Mapping[str, Float]) -> list[Score] | Dropped:
        count = len(item.sources)
        group = f"{count} source{'s' if count > 1 else ''}"
        if is_any_silent(np.concatenate([estimates[label] for label in item.counted])):
            return Dropped(item.name, "an estimate is silent")
        scores = []
        for label in item.counted:
            reference, mixture = item.sources[label][0], item.mixture[0]
            figures = {"si_sdr": si_sdr(estimates[label][0], reference)}
            if count > 1:
                before = si_sdr(mixture, reference)
                figures["si_sdr_improvement"] = figures["si_sdr"] - before
            scores.append(Score(source=label, group=group, figures=figures))
        return scores


def _chain(number: int, solos: Mapping[str, list[Path]]) -> Iterator[Item | Dropped]:
    generator = random.Random(number)
    names = generator.sample(sorted(solos), min(MOST, len(solos)))
    clips = {name: generator.choice(solos[name]) for name in names}
    signals: dict[str, Float] = {}
    for name, path in clips.items():
        signal = centre(read_mono(path, RATE), SECONDS * RATE)
        if np.abs(signal).sum() <= SILENT:
            yield Dropped(f"{number:03d} {name}", "a solo is silent")
            return
        signals[name] = signal / np.sqrt(np.mean(signal**2, dtype=np.float64)) * LEVEL
    gain = 1.0 / max(1.0, float(np.abs(sum(signals.values())).max()))
    for count in range(1, len(names) + 1):
        sources = {n: (gain * signals[n])[None].astype(np.float32) for n in names[:count]}
        mixture = np.stack(list(sources.values())).sum(axis=0, dtype=np.float32)
        yield Item(
            name=f"{number:03d} {'+'.join(names[:count])}", sample_rate=RATE, mixture=mixture,
            sources=sources, categories={name: name for name in sources},
        )  # fmt: skip
