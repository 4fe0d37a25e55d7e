"""Do embeddings of what sounds cluster by category? Figures over labelled music, and a picture.

``python -m sgn_rt.explain.clusters`` hears the music that ships: both mixtures, each of their stems
alone, and the four mixtures of a stem of one and a stem of the other. An embedding is held where
its category sounds in the window. A class token is a part of its category's embedding whatever the
recording is, so that embeddings of different categories differ in any case; two figures leave that
out: what is measured within a category, and what is measured with each category's mean over all
windows, held or not, taken away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import Piece, load_music
from sgn_rt.explain.figures import Clusters, clusters, flat_maps
from sgn_rt.explain.network import Network, open_network
from sgn_rt.explain.windows import Windows
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.transform import Transform

SOUNDS_DB: Final = -40.0
"""Of a stem in a window, below its loudest window, from which it counts as sounding there."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heard:
    """Embeddings of every category in windows of several recordings.

    Attributes
    ----------
    embedding
        shape = (W, C, D).
    held
        Whether the category sounds, shape = (W, C), bool.
    recording
        Number of the window's recording, shape = (W,).
    """

    embedding: Float
    held: NDArray[np.bool_]
    recording: NDArray[np.int64]


def recordings(music: list[Piece], known: tuple[str, ...]) -> Iterator[dict[str, Float]]:
    """Stems of each recording, by category: as mixed, alone, and one of each of two pieces."""
    pieces = [
        {name: stem for name, stem in piece.stems.items() if name in known} for piece in music
    ]
    yield from pieces
    for piece in pieces:
        for name, stem in piece.items():
            yield {name: stem}
    for one, other in combinations(pieces, 2):
        for a, b in product(one, other):
            if a != b:
                length = min(len(one[a]), len(other[b]))
                yield {a: one[a][:length], b: other[b][:length]}


def hear(network: Network, config: ModelConfig, music: list[Piece]) -> Heard:
    """Every window of every one of `recordings`."""
    transform, embeddings, held, number = Transform(config), [], [], []
    for recording, stems in enumerate(recordings(music, config.categories)):
        mixture: Float = np.sum(list(stems.values()), axis=0)
        windows = Windows.of(config, len(mixture))
        count = range(len(windows.starts))
        sounds = np.zeros((len(count), len(config.categories)), bool)
        for name, stem in stems.items():
            power = np.array([float(np.mean(windows.cut(stem, i) ** 2)) for i in count])
            loud = power > power.max() * 10 ** (SOUNDS_DB / 10)
            sounds[:, config.categories.index(name)] = loud
        for index in count:
            spectrum = transform.stft(windows.cut(mixture, index))
            embeddings.append(network.signals(transform.log_magnitude(spectrum)[0]).embedding)
        held.append(sounds)
        number += [recording] * len(count)
    return Heard(
        embedding=np.stack(embeddings), held=np.concatenate(held), recording=np.array(number)
    )


def figures(heard: Heard, names: tuple[str, ...]) -> dict[str, Clusters]:
    """Held embeddings by category, without each category's mean, and held or not within each."""
    window, category = np.nonzero(heard.held)
    labels, groups = [names[i] for i in category], heard.recording[window].tolist()
    without = heard.embedding - heard.embedding.mean(axis=0)
    found = {
        "held, by category": clusters(heard.embedding[window, category], labels, groups),
        "held, by category, without the category's mean": clusters(
            without[window, category], labels, groups
        ),
    }
    for each in np.flatnonzero(heard.held.any(axis=0)):
        told = ["held" if held else "not" for held in heard.held[:, each]]
        found[f"{names[each]}, held or not"] = clusters(
            heard.embedding[:, each], told, heard.recording.tolist()
        )
    return found


def draw(heard: Heard, names: tuple[str, ...], path: Path) -> None:
    """The map of all embeddings of categories that some recording holds, held or not."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = np.flatnonzero(heard.held.any(axis=0))
    centred = heard.embedding - heard.embedding.mean(axis=0)
    figure = Figure(figsize=(11.0, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    every: Any = figure.subplots(1, 2)
    for axes, title, values in zip(
        every, ("embeddings", "without each category's mean"), (heard.embedding, centred),
        strict=True,
    ):  # fmt: skip
        laid = flat_maps(values[:, shown].transpose(1, 0, 2).reshape(-1, values.shape[-1]))[0]
        points = laid.points.reshape(len(shown), -1, 2)
        for place, category in enumerate(shown):
            held = heard.held[:, category]
            axes.plot(*points[place][~held].T, "o", color=f"C{place}", fillstyle="none", alpha=0.4)
            axes.plot(*points[place][held].T, "o", color=f"C{place}", label=names[category])
        axes.set_title(f"{title}, PCA, {laid.kept:.0%} of the variance", loc="left",
                       fontsize="medium")  # fmt: skip
    every[1].legend(title="filled: it sounds", loc="center left", bbox_to_anchor=(1.0, 0.5),
                    frameon=False)  # fmt: skip
    figure.savefig(path, dpi=80)


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), help="Model; the one that ships.")
@click.option("--music", type=click.Path(path_type=Path), help="Folder of mixtures with stems.")
@click.option("--write", type=click.Path(path_type=Path), help="Also draw the map there, as PNG.")
def main(bundle: Path | None, music: Path | None, write: Path | None) -> None:
    """Tell how embeddings cluster, as JSON."""
    opened = Bundle.open(bundle)
    config = opened.config
    heard = hear(open_network(opened), config, load_music(music, config.sample_rate))
    found = figures(heard, config.categories)
    click.echo(json.dumps({name: each.to_dict() for name, each in found.items()}, indent=2))
    if write is not None:
        draw(heard, config.categories, write)


if __name__ == "__main__":
    main()
