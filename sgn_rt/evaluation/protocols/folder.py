"""Own data: mixtures with their stems in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.file_names import ENDINGS
from sgn_rt.errors import AudioError
from sgn_rt.evaluation.metrics import bss_eval_v3
from sgn_rt.evaluation.protocols.base import Dropped, Item, Labels, Protocol, Score, expect_folder
from sgn_rt.evaluation.sound import SILENT, is_any_silent, read_channels
from sgn_rt.parity.metrics import si_sdr

MIXTURE, MIX = "mixture", "mix"


class Folder(Protocol):
    """``NAME.mix.EXT`` beside ``NAME.<category>.EXT``; or ``NAME/mixture.EXT`` and its stems."""

    name = "folder"
    about = (
        "Mixtures and stems as they are in the folder, at the files' rate, channels averaged. "
        "SI-SDR without removal of the mean, and BSS Eval version 3 without permutation, of the "
        "whole recording; mean over the stems of a mixture, then over mixtures."
    )
    metrics = ("si_sdr", "si_sdr_improvement", "sdr", "sir", "sar")

    def items(self, root: Path, labels: Labels) -> Iterator[Item | Dropped]:
        expect_folder(root, self.name, "NAME.mix.flac with NAME.<category>.flac beside it")
        found = list(_mixtures(root))
        if not found:
            raise AudioError(
                f"{root}: got no mixture, expected NAME.{MIX}.EXT with NAME.<category>.EXT beside "
                f"it, or folders with {MIXTURE}.EXT and a stem for each category. Name the folder "
                "that holds them."
            )
        for name, mixture, stems in found:
            yield _item(name, mixture, stems, labels)

    def score(self, item: Item, estimates: Mapping[str, Float]) -> list[Score] | Dropped:
        names = [label for label in item.counted if np.abs(item.sources[label]).sum() > SILENT]
        if not names:
            return Dropped(item.name, "no stem sounds")
        references = np.concatenate([item.sources[name] for name in names])
        found = np.concatenate([estimates[name] for name in names])
        if is_any_silent(found):
            return Dropped(item.name, "an estimate is silent")
        bss = bss_eval_v3(references, found) if len(names) > 1 else None
        scores = []
        for at, name in enumerate(names):
            ratio = si_sdr(found[at], references[at])
            before = si_sdr(item.mixture[0], references[at])
            figures = {"si_sdr": ratio, "si_sdr_improvement": ratio - before}
            if bss is not None:
                figures |= {key: float(values[at]) for key, values in bss.items()}
            scores.append(Score(source=name, group=item.categories[name], figures=figures))
        return scores


def _mixtures(root: Path) -> Iterator[tuple[str, Path, dict[str, Path]]]:
    for path in sorted(root.iterdir()):
        if path.is_dir():
            files = {p.stem: p for p in sorted(path.iterdir()) if p.suffix.lower() in ENDINGS}
            if MIXTURE in files:
                mixture = files.pop(MIXTURE)
                yield path.name, mixture, files
        elif path.stem.endswith(f".{MIX}") and path.suffix.lower() in ENDINGS:
            name = path.stem.removesuffix(f".{MIX}")
            beside = sorted(root.glob(f"{_literal(name)}.*{path.suffix}"))
            stems = {p.stem.removeprefix(f"{name}."): p for p in beside if p != path}
            # NAME.2.cello is a stem of another mixture, NAME.2.
            yield name, path, {label: p for label, p in stems.items() if "." not in label}


def _literal(name: str) -> str:
    """A name for ``glob``: brackets and the like are letters."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _item(name: str, mixture: Path, stems: Mapping[str, Path], labels: Labels) -> Item | Dropped:
    known = {label: labels.category(label) for label in stems}
    categories = {label: category for label, category in known.items() if category is not None}
    if not categories:
        return Dropped(name, "the model has no category of its stems")
    sound, rate = read_channels(mixture)
    sources: dict[str, Float] = {}
    first: dict[str, str] = {}
    for label, path in stems.items():
        source, source_rate = read_channels(path)
        if (source_rate, source.shape[1]) != (rate, sound.shape[1]):
            raise AudioError(
                f"{path}: got {source.shape[1]} samples at {source_rate} Hz, expected those of "
                f"{mixture.name}: {sound.shape[1]} at {rate} Hz. Cut both to one length."
            )
        mono = source.mean(axis=0, keepdims=True)
        # Stems of one category are one source: the model gives one sound for them.
        key = first.setdefault(categories.get(label, label), label)
        sources[key] = sources[key] + mono if key in sources else mono
    categories = {label: name for label, name in categories.items() if label in sources}
    return Item(
        name=name, sample_rate=rate, mixture=sound.mean(axis=0, keepdims=True), sources=sources,
        categories=categories, scored=tuple(categories),
    )  # fmt: skip
