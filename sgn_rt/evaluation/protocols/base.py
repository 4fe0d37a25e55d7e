"""What a protocol is: which items a data set gives, how they are scored, how scores are pooled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sgn_rt._types import Float
from sgn_rt.errors import AudioError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Item:
    """A mixture with its true sources.

    Attributes
    ----------
    name
        Distinct in the data set.
    sample_rate
        Hz.
    mixture
        shape = (channels, samples), float32, full scale 1.
    sources
        Label -> shape = (channels, samples): what the mixture was made of, as the protocol has it.
    categories
        Label -> category of the model; empty where the data set has no labels.
    scored
        Labels of the sources that count; all where empty.
    """

    name: str
    sample_rate: int
    mixture: Float
    sources: dict[str, Float]
    categories: dict[str, str] = field(default_factory=dict)
    scored: tuple[str, ...] = ()

    @property
    def counted(self) -> tuple[str, ...]:
        """Labels of the sources that count."""
        return self.scored or tuple(self.sources)


@dataclass(frozen=True, slots=True)
class Dropped:
    """An item that does not count, by its ``name``.

    Why is its ``reason``, the same words for all of one kind.
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Figures of one source of an item.

    Attributes
    ----------
    source
        Its label.
    group
        What it is pooled with beside all: its category, or another group of the protocol's.
    figures
        Metric -> dB, or another unit that the protocol states.
    """

    source: str
    group: str
    figures: dict[str, float]


class Labels:
    """Which category of the model a data set's label is.

    Parameters
    ----------
    categories
        Of the model.
    said
        Label -> category, where names differ.
    """

    def __init__(self, categories: Sequence[str], said: Mapping[str, str] | None = None) -> None:
        self._known = {_plain(category): category for category in categories}
        self._said = {_plain(label): category for label, category in (said or {}).items()}

    def category(self, label: str) -> str | None:
        """The category of a label; None where the model has none for it."""
        plain = _plain(label)
        return self._said.get(plain) or self._known.get(plain)


def _plain(label: str) -> str:
    return "_".join(label.lower().replace("-", " ").replace("_", " ").split())


class Protocol(ABC):
    """A way to evaluate, by the name under which it is published.

    Attributes
    ----------
    name
        As it is asked for, and as it stands in every result.
    about
        What is done, in a sentence or two: data, mixing, metric, pooling.
    metrics
        Names of the figures; the first is the one that counts.
    needs_presence
        Whether estimates are chosen by it.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    needs_presence: ClassVar[bool] = False

    @abstractmethod
    def items(self, root: Path, labels: Labels) -> Iterator[Item | Dropped]:
        """What the data set gives, in an order that is always the same.

        Parameters
        ----------
        root
            Its folder.
        labels
            What its labels are called in the model.

        Raises
        ------
        AudioError
            If the folder is not laid out as the protocol says, or a file does not read.
        """

    def wanted(self, item: Item, categories: Sequence[str]) -> list[str]:
        """Categories that the model is asked for: those that the item's labels stand for."""
        del categories
        return [item.categories[label] for label in item.counted]

    def estimates(
        self, item: Item, sources: Mapping[str, Float], presence: Mapping[str, float]
    ) -> dict[str, Float]:
        """What the model gave, by the label of the source that it should be.

        Parameters
        ----------
        item
            Of which it was given the mixture.
        sources
            Category -> what was separated, shape = (channels, samples).
        presence
            Category -> the model's probability.
        """
        del presence
        return {label: sources[item.categories[label]] for label in item.counted}

    @abstractmethod
    def score(self, item: Item, estimates: Mapping[str, Float]) -> list[Score] | Dropped:
        """Figures of the sources of an item that count; estimates are of the sources' shapes."""

    def notes(self, item: Item, estimates: Mapping[str, Float]) -> dict[str, str]:
        """What else is counted over items, of an item and its estimates: what -> which."""
        del item, estimates
        return {}

    def pool(self, values: Float) -> Any:
        """One figure of one metric; here the mean in items, then over them.

        Parameters
        ----------
        values
            shape = (..., items, most values of an item), NaN where an item has none.
        """
        return np.nanmean(np.nanmean(values, axis=-1), axis=-1)


def expect_folder(root: Path, protocol: str, what: str) -> None:
    """Raise an AudioError unless there is such a folder."""
    if not root.is_dir():
        raise AudioError(f"{root}: got no folder, expected {what} for {protocol}. Name it.")


def expect_file(path: Path, what: str) -> Path:
    """The path, if there is such a file; else raise an AudioError."""
    if not path.is_file():
        raise AudioError(f"{path}: got no such file, expected {what}. Put it there.")
    return path


def as_long(signal: Float, samples: int) -> Float:
    """A signal cut, or padded with zeros, to a length; shape = (channels, samples)."""
    kept = signal[..., :samples]
    missing = samples - kept.shape[-1]
    return np.pad(kept, [(0, 0)] * (kept.ndim - 1) + [(0, missing)]) if missing else kept
