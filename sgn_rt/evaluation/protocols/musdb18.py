"""MUSDB18, read by ``musdb`` and scored by ``museval``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from sgn_rt._optional import require
from sgn_rt._types import Float
from sgn_rt.errors import AudioError
from sgn_rt.evaluation.metrics import EXTRA, museval_v4, require_museval
from sgn_rt.evaluation.protocols.base import Dropped, Item, Labels, Protocol, Score, expect_folder

STEMS: Final = ("drums", "bass", "other", "vocals")
VOCALS, ACCOMPANIMENT = "vocals", "accompaniment"

_SCORING = (
    "Tracks of the test part, 44.1 kHz stereo, by the package musdb; BSS Eval version 4 by "
    "museval: frames of 1 s, filters of 512 taps fitted to the whole track, no permutation; frames "
    "with a silent source do not count."
)


class Musdb(Protocol):
    """Median over the frames of a track, median over tracks."""

    name = "musdb:museval-v4-median"
    about = f"{_SCORING} Median over frames, then over tracks."
    metrics = ("sdr", "sir", "isr", "sar")
    targets: tuple[str, ...] = STEMS

    def items(self, root: Path, labels: Labels) -> Iterator[Item | Dropped]:
        expect_folder(root, self.name, "MUSDB18's folder, with test/ in it")
        require_museval()
        musdb: Any = require("musdb", extra=EXTRA, purpose=self.name)
        is_wav = any((root / "test").glob("*/mixture.wav"))
        tracks = musdb.DB(root=str(root), is_wav=is_wav, subsets="test").tracks
        if not tracks:
            raise AudioError(
                f"{root}: got no track, expected test/NAME.stem.mp4, or test/NAME/mixture.wav. "
                "Name the folder that holds test/."
            )
        for track in tracks:
            yield self._item(track, labels)

    def _item(self, track: Any, labels: Labels) -> Item | Dropped:
        known = {label: labels.category(label) for label in self.targets}
        categories = {label: name for label, name in known.items() if name is not None}
        # museval scores what is estimated, against each other, and wants two or more.
        if len(categories) < 2:
            return Dropped(track.name, "the model has not two of the categories")
        # Also those that the model does not know: the ideal mask is of all that sounds.
        sources = {label: _sound(track.targets[label].audio) for label in self.targets}
        return Item(
            name=track.name, sample_rate=int(track.rate), mixture=_sound(track.audio),
            sources=sources, categories=categories, scored=tuple(categories),
        )  # fmt: skip

    def score(self, item: Item, estimates: Mapping[str, Float]) -> list[Score] | Dropped:
        references = np.stack([item.sources[label] for label in item.counted])
        found = np.stack([estimates[label] for label in item.counted])
        frames = museval_v4(references, found, item.sample_rate)
        scores = []
        for at, label in enumerate(item.counted):
            heard = {name: values[at][~np.isnan(values[at])] for name, values in frames.items()}
            if any(len(values) == 0 for values in heard.values()):
                return Dropped(item.name, "in no frame do all sources sound")
            figures = {name: float(np.median(values)) for name, values in heard.items()}
            group = item.categories.get(label, label)
            scores.append(Score(source=label, group=group, figures=figures))
        return scores

    def pool(self, values: Float) -> Any:
        """Median over tracks."""
        return np.nanmedian(values, axis=(-2, -1))


class MusdbMean(Musdb):
    """Mean over tracks."""

    name = "musdb:museval-v4-mean"
    about = f"{_SCORING} Median over frames, then mean over tracks."

    def pool(self, values: Float) -> Any:
        """Mean over tracks."""
        return np.nanmean(values, axis=(-2, -1))


class MusdbVocals(Musdb):
    """Vocals against all the rest, a scenario of its own."""

    name = "musdb:museval-v4-vocals"
    about = (
        f"{_SCORING} Vocals and accompaniment, which is the mixture less the model's vocals. "
        "Median over frames, then over tracks."
    )

    def _item(self, track: Any, labels: Labels) -> Item | Dropped:
        known = {label: labels.category(label) for label in STEMS}
        categories = {label: name for label, name in known.items() if name is not None}
        if VOCALS not in categories:
            return Dropped(track.name, "the model has no category of vocals")
        sources = {label: _sound(track.targets[label].audio) for label in (VOCALS, ACCOMPANIMENT)}
        return Item(
            name=track.name, sample_rate=int(track.rate), mixture=_sound(track.audio),
            sources=sources, categories=categories, scored=tuple(sources),
        )  # fmt: skip

    def wanted(self, item: Item, categories: Sequence[str]) -> list[str]:
        del categories
        return [item.categories[VOCALS]]

    def estimates(
        self, item: Item, sources: Mapping[str, Float], presence: Mapping[str, float]
    ) -> dict[str, Float]:
        del presence
        vocals = sources[item.categories[VOCALS]]
        return {VOCALS: vocals, ACCOMPANIMENT: item.mixture - vocals}


def _sound(audio: Any) -> Float:
    return np.ascontiguousarray(np.asarray(audio).T, dtype=np.float32)
