"""Networks of other sizes with random weights, as bundles: what they cost, not what they are worth.

Each takes about half a minute, most of it in PyTorch's exporter. Graphs are proved where
they are opened to be timed (`sgn_rt.benchmarks.rows.subjects.gather`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from sgn_rt.errors import ConfigError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, Kind, Precision
from sgn_rt.model.sgn_config import SgnConfig
from sgn_rt.model.stages import EPSILON

SEED: Final = 0
_ON_CPU: Final = ((Kind.CORE,), (Precision.FP32,))
"""What is exported: the graphs that ONNX Runtime is given there."""


def paper_scale(
    folder: Path,
    *,
    kinds: Sequence[Kind] = _ON_CPU[0],
    precisions: Sequence[Precision] = _ON_CPU[1],
) -> Bundle:
    """The paper's size: 53 million parameters, 19.4 GFLOP a window; 210 MB on disk.

    Parameters
    ----------
    folder
        The bundle to write; it is made, or empty.
    kinds, precisions
        The graphs; for engines of a GPU also ``plugin`` and ``fp16``, as much time for each again.

    Raises
    ------
    DependencyError
        If PyTorch or its exporter is not installed.
    """
    from sgn_rt.reference import PAPER

    config = replace(PAPER, log_epsilon=EPSILON)
    return write_random(config, folder, name="paper-scale", kinds=kinds, precisions=precisions)


def many_categories(folder: Path, count: int) -> Bundle:
    """The published sizes with more categories; 35 MB on disk.

    Parameters
    ----------
    folder
        As `paper_scale`.
    count
        Of categories, at least 1.

    Raises
    ------
    ConfigError
        For less than one.
    DependencyError
        If PyTorch or its exporter is not installed.
    """
    if count < 1:
        raise ConfigError(f"categories: got {count}, expected at least 1. Ask for more.")
    names = tuple(f"category_{number:04d}" for number in range(count))
    published = Bundle.open().config
    assert isinstance(published, SgnConfig)
    config = replace(published, categories=names)
    # Every share of every category is part of a probe: one window of many is as much as two of few.
    return write_random(config, folder, name=f"{count} categories", windows=1)


def write_random(
    config: SgnConfig,
    folder: Path,
    *,
    name: str,
    windows: int = 2,
    kinds: Sequence[Kind] = _ON_CPU[0],
    precisions: Sequence[Precision] = _ON_CPU[1],
) -> Bundle:
    """A bundle of a network with random weights, always the same for a configuration."""
    from sgn_rt.audio.labelled_music import load_music
    from sgn_rt.export.probes import make_probe
    from sgn_rt.export.writer import write_unproved
    from sgn_rt.reference import random_model, save_checkpoint

    folder.mkdir(parents=True, exist_ok=True)
    model = random_model(config, SEED)
    save_checkpoint(model, config, folder / BUNDLE_CHECKPOINT)
    probe = make_probe(model, load_music(None, config.sample_rate)[:windows])
    write_unproved(
        model, probe, folder, kinds=kinds, precisions=precisions, name=name, licence="CC0-1.0",
        shared_weights=True,
    )  # fmt: skip
    return Bundle.open(folder)
