"""VGG-Sound: mix-and-separate, as AudioSep and AVGN do it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import read_mono
from sgn_rt.errors import AudioError
from sgn_rt.evaluation.metrics import plain_sdr
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
from sgn_rt.evaluation.protocols.music import Duets, duet
from sgn_rt.evaluation.sound import SILENT, is_any_silent
from sgn_rt.parity.metrics import si_sdr

RATE: Final = 32_000
LIST: Final = "audiosep.csv"
DUETS: Final = "duets.csv"
_AUDIOSEP: Final = ("file_id", "mix_wav", "s0_wav", "s0_text", "s1_wav", "s1_text")
_AVGN: Final = ("id", "class", "id2", "class2")


class AudioSep(Protocol):
    """AudioSep's mixtures: the first source alone is scored."""

    name = "vggsound:audiosep"
    about = (
        f"{LIST} ({', '.join(_AUDIOSEP)}), 32 kHz mono: only s0 is scored. Improvement of SDR "
        "(10 log10 of the source's energy over that of the difference) and SI-SDR; plain mean."
    )
    metrics = ("sdr_improvement", "si_sdr", "sdr")

    def items(self, root: Path, labels: Labels) -> Iterator[Item | Dropped]:
        for row in _rows(root, LIST, _AUDIOSEP, self.name):
            category = labels.category(row["s0_text"])
            if category is None:
                yield Dropped(row["file_id"], "the model has no category of s0's class")
                continue
            paths = (row["mix_wav"], row["s0_wav"], row["s1_wav"])
            sounds = [
                read_mono(expect_file(root / path, f"a file of {LIST}"), RATE) for path in paths
            ]
            mixture, *sources = (as_long(sound[None], len(sounds[0])) for sound in sounds)
            label, other = row["s0_text"], f"{row['s1_text']} (s1)"
            categories = {label: category}
            if (second := labels.category(row["s1_text"])) is not None:
                categories[other] = second  # it is present, too, though not scored
            yield Item(
                name=row["file_id"], sample_rate=RATE, mixture=mixture,
                sources={label: sources[0], other: sources[1]},
                categories=categories, scored=(label,),
            )  # fmt: skip

    def score(self, item: Item, estimates: Mapping[str, Float]) -> list[Score] | Dropped:
        (label,) = item.counted
        reference, estimate = item.sources[label][0], estimates[label][0]
        if abs(reference).sum() <= SILENT:
            return Dropped(item.name, "the source is silent")
        if is_any_silent(estimate[None]):
            return Dropped(item.name, "the estimate is silent")
        sdr = plain_sdr(reference, estimate)
        figures = {
            "sdr": sdr,
            "sdr_improvement": sdr - plain_sdr(reference, item.mixture[0]),
            "si_sdr": si_sdr(estimate, reference),
        }
        return [Score(source=label, group=item.categories[label], figures=figures)]


class Avgn(Duets):
    """AVGN's pairs, mixed as Sound-of-Pixels mixes."""

    name = "vggsound:avgn"
    about = (
        f"{DUETS} ({', '.join(_AVGN)}; files ID.wav): pairs of two classes, each 65 535 samples "
        "from the middle at 11 025 Hz, clipped, halved and summed; BSS Eval version 3 without "
        "permutation; mean over the sources of a pair, then over pairs."
    )

    def items(self, root: Path, labels: Labels) -> Iterator[Item | Dropped]:
        for row in _rows(root, DUETS, _AVGN, self.name):
            clips = [
                expect_file(root / f"{row[key]}.wav", f"a clip of {DUETS}") for key in ("id", "id2")
            ]
            name = f"{row['id']}+{row['id2']}"
            yield duet(name, clips, labels, [row["class"], row["class2"]])


def _rows(root: Path, name: str, columns: tuple[str, ...], protocol: str) -> list[dict[str, str]]:
    expect_folder(root, protocol, f"a folder with {name}")
    path = expect_file(root / name, f"columns {', '.join(columns)}")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        missing = [column for column in columns if column not in (reader.fieldnames or [])]
        if missing:
            raise AudioError(
                f"{path}: got columns {reader.fieldnames}, expected {', '.join(columns)}. Write "
                "them in the first line."
            )
        return list(reader)
