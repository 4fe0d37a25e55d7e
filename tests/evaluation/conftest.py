"""Sounds for small data in the layouts of the data sets; a separator that errs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from sgn_rt.audio.labelled_music import shipped_music
from sgn_rt.evaluation import run, summary
from sgn_rt.evaluation.journal import Journal
from sgn_rt.evaluation.protocols import protocol_named
from sgn_rt.evaluation.protocols.base import Labels
from sgn_rt.model.bundle import Bundle

SYSTEM = "erring"


@dataclass
class Erring:
    """In the place of a separator: each category is the mixture, delayed and weighed by its own."""

    config: Any
    asked: list = field(default_factory=list)

    @property
    def categories(self) -> tuple[str, ...]:
        return self.config.categories

    def separate(self, mixture, categories, *, sample_rate):
        self.asked.append((mixture, tuple(categories)))
        sources = {name: self.source(name, mixture) for name in categories}
        chances = {
            name: 0.9 - 0.08 * at + 0.001 * abs(float(mixture[0, at]))
            for at, name in enumerate(self.categories)
        }
        return _Separation(sources, chances)

    def source(self, name, mixture):
        at = self.categories.index(name)
        kernel = np.zeros(40)
        kernel[at], kernel[3 * at + 5] = 0.8, 0.1 * (at + 1)
        return np.stack([np.convolve(m, kernel)[: len(m)] for m in mixture]).astype(np.float32)


@dataclass
class _Separation:
    sources: dict
    presence: dict


@pytest.fixture
def erring():
    return Erring(Bundle.open(None).config)


@pytest.fixture
def evaluated(erring, tmp_path):
    """The summary of a protocol on a folder, and its items."""

    def evaluate(name, root, said=None, **options):
        protocol = protocol_named(name)
        journal = Journal(tmp_path / "out", {"name": name}, fresh=True)
        labels = Labels(erring.categories, said)
        items = run.evaluate({SYSTEM: erring}, protocol, root, labels, journal, **options)
        return summary.summary(items, protocol, [SYSTEM]), items

    return evaluate


@pytest.fixture
def figure():
    """A pooled figure of a summary."""

    def find(told, metric, *, system=SYSTEM, group=summary.ALL, key="value"):
        (found,) = [
            each[key]
            for each in told["figures"]
            if (each["system"], each["group"], each["metric"]) == (system, group, metric)
        ]
        return found

    return find


@pytest.fixture
def bss():
    """SDR, SIR and SAR, version 3, by another package than the one that is used."""
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("fast_bss_eval")

    def measured(references, estimates, *, permuted=False):
        pair = [torch.from_numpy(np.asarray(each, np.float64)) for each in (references, estimates)]
        found = package.bss_eval_sources(*pair, filter_length=512, compute_permutation=permuted)
        return [each.numpy() for each in found[:3]]

    return measured


@pytest.fixture
def ratio():
    """SI-SDR by the other backend of ``fast_bss_eval``."""
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("fast_bss_eval")

    def measured(reference, estimate, *, zero_mean=False):
        pair = [torch.from_numpy(np.asarray(s, np.float64))[None] for s in (reference, estimate)]
        return float(package.si_sdr(*pair, zero_mean=zero_mean))

    return measured


@cache
def _solos():
    """The stems of the music that ships, shape = (samples,), float32."""
    paths = sorted(shipped_music().glob("*.flac"))
    return [sf.read(path, dtype="float32")[0] for path in paths if ".mix." not in path.name]


@pytest.fixture
def sound():
    """A cut of the music that ships, unlike others: shape = (samples,) or (samples, channels)."""

    def make(seed, samples, channels=1):
        solos, generator = _solos(), np.random.default_rng(seed)
        solo = solos[seed % len(solos)]
        first = [int(generator.integers(len(solo) - samples)) for _ in range(channels)]
        cut = np.stack([solo[start : start + samples] for start in first], axis=1)
        cut = cut / max(float(np.abs(cut).max()), 1e-3) * (0.15 + 0.03 * (seed % 5))
        # As a recording has it: without noise, filters of 512 taps fit whatever they like.
        cut = cut + 1e-3 * generator.standard_normal(cut.shape)
        return (cut[:, 0] if channels == 1 else cut).astype(np.float32)

    return make


@pytest.fixture
def write():
    """Write a sound so that it reads as it is; the array as it then is."""

    def made(path, signal, rate):
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, signal, rate, subtype="FLOAT" if path.suffix == ".wav" else None)
        return signal

    return made
