"""FUSS: one to four sources without labels, matched to the estimates."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import read_mono
from sgn_rt.errors import AudioError
from sgn_rt.evaluation.protocols.base import (
    Dropped,
    Item,
    Labels,
    Protocol,
    Score,
    as_long,
    expect_file,
    expect_folder,
)

RATE: Final = 16_000
MOST: Final = 4
"""Sources, and estimates."""
LIST: Final = "eval_example_list.txt"
ACTIVE_RMS: Final = 1e-8
"""Of a reference that sounds."""
ACTIVE_POWER: Final = 0.01
"""Of an estimate that sounds: as a share of the quietest source that does."""
EPSILON: Final = 1e-8
LEAST_POWER: Final = 1e-32
"""Of two signals, multiplied: what lies below is silent."""


class Fuss(Protocol):
    """As the baseline of DCASE 2020 is evaluated."""

    name = "fuss:dcase2020"
    about = (
        f"{LIST} (mixture, background, foregrounds; tab-separated): the mixture is the sum of the "
        "sources, 16 kHz mono. FUSS has no labels: the estimates are the model's four most present "
        "categories. References and estimates padded to four with silence and permuted by the best "
        "total SI-SNR (no removal of the mean, epsilon 1e-8); a pair counts if its reference "
        "sounds and its estimate has more than 0.01 of the power of the quietest source. SI-SNR of "
        "examples with one source, improvement of SI-SNR of those with more; mean over pairs."
    )
    metrics = ("si_snr_improvement", "si_snr")
    needs_presence = True

    def items(self, root: Path, labels: Labels) -> Iterator[Item | Dropped]:
        del labels  # it has none
        expect_folder(root, self.name, f"a folder with {LIST}")
        path = expect_file(root / LIST, "the list of examples")
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file, delimiter="\t") if row]
        for number, row in enumerate(rows, 1):
            if not 2 <= len(row) <= MOST + 1:
                raise AudioError(
                    f"{path}: got {len(row)} columns in row {number}, expected a mixture and one "
                    f"to {MOST} sources, separated by tabs. Take the data set's own list."
                )
            sounds = [
                read_mono(expect_file(root / name, f"a source of {LIST}"), RATE) for name in row[1:]
            ]
            longest = max(map(len, sounds))
            sources = {
                Path(name).stem: as_long(sound[None], longest)
                for name, sound in zip(row[1:], sounds, strict=True)
            }
            mixture = np.stack(list(sources.values())).sum(axis=0, dtype=np.float32)
            yield Item(name=row[0], sample_rate=RATE, mixture=mixture, sources=sources)

    def wanted(self, item: Item, categories: Sequence[str]) -> list[str]:
        del item
        return list(categories)

    def estimates(
        self, item: Item, sources: Mapping[str, Float], presence: Mapping[str, float]
    ) -> dict[str, Float]:
        del item
        most = sorted(presence, key=lambda name: -presence[name])[:MOST]
        return {name: sources[name] for name in most}

    def score(self, item: Item, estimates: Mapping[str, Float]) -> list[Score] | Dropped:
        references, found = _padded_pair(item, estimates)
        sounds, heard = _active(references, found)
        if not sounds.any():
            return Dropped(item.name, "no source sounds")
        pairs = np.array([[si_snr(r, e) for e in found] for r in references])
        rows, columns = linear_sum_assignment(pairs, maximize=True)
        count, mixture = int(sounds.sum()), item.mixture[0].astype(np.float64)
        labels = [*item.sources, *(f"silence {n}" for n in range(MOST))]
        scores = []
        for row, column in zip(rows, columns, strict=True):
            if not (sounds[row] and heard[column]):
                continue
            ratio = float(pairs[row, column])
            figures = {"si_snr": ratio}
            if count > 1:
                figures["si_snr_improvement"] = ratio - si_snr(references[row], mixture)
            group = f"{count} source{'s' if count > 1 else ''}"
            scores.append(Score(source=labels[row], group=group, figures=figures))
        return scores or Dropped(item.name, "no estimate sounds")

    def notes(self, item: Item, estimates: Mapping[str, Float]) -> dict[str, str]:
        """Whether fewer, as many or more estimates sound than sources."""
        references, found = _padded_pair(item, estimates)
        sounds, heard = _active(references, found)
        sign = int(np.sign(int(heard.sum()) - int(sounds.sum())))
        return {"separation": ("under", "equal", "over")[sign + 1]}

    def pool(self, values: Float) -> Any:
        """Mean over pairs."""
        return np.nanmean(values, axis=(-2, -1))


def _padded_pair(item: Item, estimates: Mapping[str, Float]) -> tuple[Float, Float]:
    references = _four([source[0] for source in item.sources.values()])
    return references, _four([estimate[0] for estimate in estimates.values()])


def _active(references: Float, estimates: Float) -> tuple[Any, Any]:
    """Which references sound, and which estimates; shape = (4,) each."""
    sounds = np.sqrt(np.mean(references**2, axis=1)) > ACTIVE_RMS
    quietest = np.mean(references[sounds] ** 2, axis=1).min(initial=np.inf)
    return sounds, np.mean(estimates**2, axis=1) > ACTIVE_POWER * quietest


def _four(signals: Sequence[Float]) -> Float:
    zeros = [np.zeros_like(signals[0])] * (MOST - len(signals))
    return np.asarray([*signals, *zeros], np.float64)


def si_snr(reference: Float, estimate: Float) -> float:
    """Scale-invariant SNR, dB, from the angle between both; shape = (samples,), float64.

    The mean is not removed. Where either is silent it is -80 dB whatever the other is, so that
    references that pad an example do not decide which estimate goes where.
    """
    power = float((reference @ reference) * (estimate @ estimate))
    shared = float(reference @ estimate) ** 2 / max(power, LEAST_POWER)
    return float(10.0 * np.log10((shared + EPSILON) / (1.0 - min(shared, 1.0) + EPSILON)))
