"""What a recording's level does to what is found, with and without the gain into the model's range.

``python -m sgn_rt.benchmarks.studies.level`` takes 14 mixtures (the pieces, and stems of different
pieces mixed), makes them quieter and louder, and counts instruments found rightly, falsely and not
at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import Piece, load_music
from sgn_rt.audio.level import TrainingLevel, gain_db, measure_level
from sgn_rt.benchmarks.studies.presence import highest_of_all, laid, tracked
from sgn_rt.engines.base import Engine
from sgn_rt.separator import Separator
from sgn_rt.streaming.presence import PresenceRule

MIXTURES = 14
LEVELS_DB = (20.0, 10.0, 0.0, -30.0, -40.0, -50.0)
"""What the mixtures are changed by. As floating point they are nowhere clipped."""


def mixtures(pieces: Sequence[Piece], amount: int, seed: int) -> list[Piece]:
    """The pieces as they are, and then pairs and trios of stems that no piece has."""
    rng = np.random.default_rng(seed)
    made = [replace(piece, stems=dict(piece.stems)) for piece in pieces][:amount]
    stems = [(name, piece.stems[name]) for piece in pieces for name in piece.stems]
    sets = [
        chosen
        for size in (2, 3)
        for chosen in combinations(range(len(stems)), size)
        if len({stems[i][0] for i in chosen}) == size
    ]
    while len(made) < amount:
        chosen = {stems[i][0]: stems[i][1] for i in sets[int(rng.integers(len(sets)))]}
        length = max(map(len, chosen.values()))
        turned = {
            name: np.resize(np.roll(stem, int(rng.integers(len(stem)))), length)
            for name, stem in chosen.items()
        }
        mixture: Float = np.add.reduce(list(turned.values()))
        made.append(Piece("+".join(sorted(chosen)), mixture, turned))
    return made


def presences(engine: Engine, mixture: Float, gain: float) -> Float:
    """Of every window of a mixture that is amplified by so many dB, shape = (windows, C)."""
    amplified = mixture * np.float32(10 ** (gain / 20))
    nothing = np.zeros(0, np.int64)
    windows = [engine.separate(window, nothing) for _, window in laid(engine.config, amplified)]
    return np.concatenate([answer.presence for answer in windows])


def count(found: NDArray[np.bool_], categories: Sequence[str], piece: Piece) -> NDArray[np.int64]:
    """Instruments found rightly, found falsely, and missed."""
    names = {name for name, present in zip(categories, found, strict=True) if present}
    true = set(piece.stems)
    return np.array([len(names & true), len(names - true), len(true - names)])


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), help="The model; the shipped one.")
@click.option("--music", type=click.Path(path_type=Path), help="Folder of NAME.mix and stems.")
@click.option("--engine", default="auto", show_default=True)
@click.option("--training-level", type=float, nargs=2, metavar="LOW HIGH",
              help="dBFS; the model's own.")  # fmt: skip
@click.option("--mixtures", "amount", type=click.IntRange(min=1), default=MIXTURES,
              show_default=True)  # fmt: skip
@click.option("--seed", default=0, show_default=True)
def main(
    bundle: Path | None,
    music: Path | None,
    engine: str,
    training_level: TrainingLevel | None,
    amount: int,
    seed: int,
) -> None:
    """Instruments found rightly / falsely / missed at different levels."""
    with Separator.open(bundle, engine) as separator:
        config = separator.config
        claimed = training_level or config.training_level_dbfs
        rule = PresenceRule.of(config)

        def over_time(presence: Float) -> NDArray[np.bool_]:
            return tracked(rule, separator.categories, presence).present

        pieces = mixtures(load_music(music, config.sample_rate), amount, seed)
        click.echo(f"{len(pieces)} mixtures, training level {claimed} dBFS")
        click.echo(
            "| level | measured dBFS | highest window, level as it is | over time, level as it is "
            "| over time, level auto | gains dB |\n| --- | --- | --- | --- | --- | --- |"
        )
        for change in LEVELS_DB:
            counts = np.zeros((3, 3), np.int64)
            measured, gains = [], []
            for piece in pieces:
                mixture = piece.mixture * np.float32(10 ** (change / 20))
                measure = measure_level([mixture[None]], config.window_samples)
                gain = gain_db(measure, claimed)
                plain = presences(separator.engine, mixture, 0.0)
                leveled = presences(separator.engine, mixture, gain) if gain else plain
                found = (highest_of_all(plain), over_time(plain), over_time(leveled))
                counts += [count(each, separator.categories, piece) for each in found]
                measured.append(measure.dbfs or 0.0)
                gains.append(gain)
            cells = [" / ".join(map(str, row)) for row in counts.tolist()]
            click.echo(
                f"| {change:+.0f} dB | {min(measured):.0f} to {max(measured):.0f} | "
                f"{' | '.join(cells)} | {min(gains):+.0f} to {max(gains):+.0f} |"
            )


if __name__ == "__main__":
    main()
