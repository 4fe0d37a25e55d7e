"""How well presence is decided: recall and precision by the length of a recording.

``python -m sgn_rt.benchmarks.studies.presence`` makes recordings of ten minutes from stems (loops,
solos in turn, sections of random choice and level with rests, a solo of ten seconds in a loop),
hears each window once, and decides from the same windows by the highest of them and by the rule
over time: on excerpts of 14 s and of a minute, on the ten minutes, and on an hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import Piece, load_music
from sgn_rt.engines.base import Engine
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.stages import PRESENCE_THRESHOLD
from sgn_rt.separator import Separator
from sgn_rt.streaming.presence import PresenceRule, PresenceTracker
from sgn_rt.streaming.windows import WindowLayout

MINUTES = 10
RANDOM = 6
"""Recordings of random sections."""
SOUNDING_S = 2.0
"""From so much of it an instrument should be found; one that sounds for less counts neither way."""
SOLO_S = 10.0

Stems = dict[str, Float]


@dataclass(frozen=True, slots=True)
class Take:
    """A recording by its stems [samples], and what it goes on with for the rest of an hour."""

    name: str
    stems: Stems
    rest: Take | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """The network's answer to a recording, window by window.

    Attributes
    ----------
    presence
        Probabilities, shape = (windows, C).
    sounding_s
        Seconds for which each category sounds in what is heard of each window, same shape.
    near
        Whether it sounds anywhere in the window, same shape.
    """

    presence: Float
    sounding_s: Float
    near: NDArray[np.bool_]

    def part(self, start: int, stop: int) -> Heard:
        """Windows [start, stop)."""
        windows = slice(start, stop)
        return Heard(self.presence[windows], self.sounding_s[windows], self.near[windows])

    def and_then(self, other: Heard, times: int) -> Heard:
        """What comes of going on with another, some times."""
        return Heard(
            np.concatenate([self.presence, *[other.presence] * times]),
            np.concatenate([self.sounding_s, *[other.sounding_s] * times]),
            np.concatenate([self.near, *[other.near] * times]),
        )


@dataclass(slots=True)
class Score:
    """Of categories over recordings."""

    found: int = 0
    missed: int = 0
    false: int = 0
    recordings: int = 0

    def add(self, heard: Heard, present: NDArray[np.bool_]) -> None:
        """Count one recording."""
        should = heard.sounding_s.sum(axis=0) >= SOUNDING_S
        absent = ~heard.near.any(axis=0)
        self.found += int((present & should).sum())
        self.missed += int((~present & should).sum())
        self.false += int((present & absent).sum())
        self.recordings += 1

    @property
    def recall(self) -> float:
        """Of what sounds, the part found."""
        return self.found / max(1, self.found + self.missed)

    @property
    def precision(self) -> float:
        """Of what is found, the part that sounds."""
        return self.found / max(1, self.found + self.false)


def takes(pieces: Sequence[Piece], rate: int, seed: int = 0) -> Iterator[Take]:
    """Recordings of ten minutes made from the stems of some pieces."""
    rng = np.random.default_rng(seed)
    every: Stems = {}
    for piece in pieces:
        every |= piece.stems
    samples = MINUTES * 60 * rate
    loops = [Take(f"loop {piece.name}", looped(piece.stems, samples, rng)) for piece in pieces]
    yield from loops
    for loop in loops:
        others = [name for name in every if name not in loop.stems]
        if others:
            name = str(rng.choice(others))
            late = np.zeros(samples, np.float32)
            start = round(rng.uniform(0.6, 0.9) * samples)
            stop = start + round(SOLO_S * rate)
            late[start:stop] = turned(every[name], stop - start, rng)
            quiet = {key: stem.copy() for key, stem in loop.stems.items()}
            for stem in quiet.values():
                stem[start:stop] = 0
            yield Take(f"{loop.name}, {name} once", quiet | {name: late}, rest=loop)
    yield Take("solos in turn", sections(every, samples, rate, rng, most=1))
    for number in range(RANDOM):
        count = int(rng.integers(1, min(4, len(every)) + 1))
        chosen = [str(name) for name in rng.choice(list(every), count, replace=False)]
        stems = {name: respeeded(every[name], rng.uniform(0.9, 1.1)) for name in chosen}
        yield Take(f"sections {number}", sections(stems, samples, rate, rng, most=3))


def looped(stems: Stems, samples: int, rng: np.random.Generator) -> Stems:
    """A piece again and again, at another level each time."""
    length = len(next(iter(stems.values())))
    times = -(-samples // length)
    levels = 10 ** (rng.uniform(-12, 0, times) / 20)
    gains = np.repeat(levels, length)[:samples].astype(np.float32)
    return {name: np.tile(stem, times)[:samples] * gains for name, stem in stems.items()}


def sections(
    stems: Stems, samples: int, rate: int, rng: np.random.Generator, *, most: int
) -> Stems:
    """Sections of 4 to 20 s of up to so many stems at a random level, one of six a rest."""
    out = {name: np.zeros(samples, np.float32) for name in stems}
    at = 0
    while at < samples:
        stop = min(samples, at + int(rng.uniform(4, 20) * rate))
        if rng.random() > 1 / 6:
            count = int(rng.integers(1, min(most, len(stems)) + 1))
            level = rng.uniform(-24, 0)
            for name in rng.choice(list(stems), count, replace=False):
                gain = np.float32(10 ** ((level + rng.uniform(-8, 0)) / 20))
                out[name][at:stop] = gain * turned(stems[name], stop - at, rng)
        at = stop
    return out


def turned(stem: Float, samples: int, rng: np.random.Generator) -> Float:
    """So much of a stem, in a circle from a random place."""
    start = int(rng.integers(len(stem)))
    return np.resize(np.roll(stem, -start), samples)


def respeeded(stem: Float, factor: float) -> Float:
    """A stem at another speed and pitch, within what the published model was trained on."""
    converted: Float = soxr.resample(stem, 1000 * factor, 1000)
    return converted.astype(np.float32)


def hear(engine: Engine, take: Take) -> Heard:
    """Run the network over a recording, window by window, and note what sounds in each."""
    config, layout = engine.config, WindowLayout.offline(engine.config)
    mixture: Float = np.add.reduce(list(take.stems.values()))
    sounding = np.zeros((len(config.categories), len(mixture)), np.bool_)
    for name, stem in take.stems.items():
        sounding[config.categories.index(name)] = _sounding(stem, config.sample_rate)
    nothing = np.zeros(0, np.int64)
    presence, seconds, near = [], [], []
    for index, window in laid(config, mixture):
        presence.append(engine.separate(window, nothing).presence[0])
        mine = sounding[:, layout.final(index - 1) : layout.final(index)]
        seconds.append(mine.sum(axis=1) / config.sample_rate)
        reach = sounding[:, max(0, layout.start(index)) : layout.stop(index)]
        near.append(reach.any(axis=1))
    return Heard(np.array(presence), np.array(seconds, np.float32), np.array(near))


def laid(config: ModelConfig, mixture: Float) -> Iterator[tuple[int, Float]]:
    """Windows of a mixture [samples] by number, shape = (1, N), as a file is cut into them."""
    layout = WindowLayout.offline(config)
    index = 0
    while layout.final(index - 1) < len(mixture):
        window = np.zeros((1, layout.window), np.float32)
        start = layout.start(index)
        part = mixture[max(0, start) : layout.stop(index)]
        window[0, max(0, -start) :][: len(part)] = part
        yield index, window
        index += 1


def _sounding(stem: Float, rate: int) -> NDArray[np.bool_]:
    """Where a stem is within 40 dB of its loudest, or was or will be in a quarter of a second."""
    block = rate // 10
    padded = np.pad(stem, (0, -len(stem) % block)).reshape(-1, block)
    power = np.square(padded).mean(axis=1)
    loud = maximum_filter1d((power > 1e-4 * power.max()).astype(np.uint8), 5)
    return np.repeat(loud, block)[: len(stem)].astype(np.bool_)


def highest_of_all(presence: Float) -> NDArray[np.bool_]:
    """The rule of 0.1.0: one window at the threshold."""
    return np.asarray(presence.max(axis=0) >= PRESENCE_THRESHOLD)


def tracked(rule: PresenceRule, categories: Sequence[str], presence: Float) -> PresenceTracker:
    """The rule over time, after all windows."""
    tracker = PresenceTracker(rule, categories, rule.span_s)
    for window in presence:
        tracker.update(window)
    return tracker


def lengths(heard: Heard, rest: Heard) -> dict[str, list[Heard]]:
    """The recording in excerpts, whole, and continued to an hour."""

    def cut(windows: int) -> list[Heard]:
        ends = range(windows, len(heard.presence) + 1, windows)
        return [heard.part(end - windows, end) for end in ends]

    return {
        "6 s": cut(1),
        "14 s": cut(3),
        "1 min": cut(14),
        f"{MINUTES} min": [heard],
        "1 h": [heard.and_then(rest, 60 // MINUTES - 1)],
    }


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), help="The model; the shipped one.")
@click.option("--music", type=click.Path(path_type=Path), help="Folder of NAME.mix and stems.")
@click.option("--engine", default="auto", show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(bundle: Path | None, music: Path | None, engine: str, seed: int) -> None:
    """Recall and precision of presence, by the highest window and by the rule over time."""
    rows: dict[str, dict[str, Score]] = {}
    with Separator.open(bundle, engine) as separator:
        rule = PresenceRule.of(separator.config)
        pieces = load_music(music, separator.config.sample_rate)
        answers: dict[str, Heard] = {}
        for take in takes(pieces, separator.config.sample_rate, seed):
            click.echo(f"{take.name}: {', '.join(take.stems)}", err=True)
            heard = answers[take.name] = hear(separator.engine, take)
            rest = heard if take.rest is None else answers[take.rest.name]
            for length, excerpts in lengths(heard, rest).items():
                row = rows.setdefault(
                    length, {"before": Score(), "after": Score(), "started": Score()}
                )
                for excerpt in excerpts:
                    tracker = tracked(rule, separator.categories, excerpt.presence)
                    row["before"].add(excerpt, highest_of_all(excerpt.presence))
                    row["after"].add(excerpt, tracker.present)
                    row["started"].add(excerpt, tracker.candidates)
    click.echo(rule.describe())
    click.echo(
        "| length | recordings | highest window: recall, precision, false alarms each | over time: "
        "the same | synthesised for nothing, each |\n| --- | --- | --- | --- | --- |"
    )
    for length, row in rows.items():
        cells = [
            f"{score.recall:.3f}, {score.precision:.3f}, {score.false / score.recordings:.2f}"
            for score in (row["before"], row["after"])
        ]
        nothing = row["started"].false / row["started"].recordings
        click.echo(f"| {length} | {row['after'].recordings} | {' | '.join(cells)} | "
                   f"{nothing:.2f} |")  # fmt: skip


if __name__ == "__main__":
    main()
