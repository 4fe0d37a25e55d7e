"""How far right graphs lie from the reference: what the limits of parity are set from.

``python -m sgn_rt.benchmarks.studies.limits`` exports the model that ships and random networks of
random sizes, measures every stage of every graph, and tells the worst figure of each stage, and how
far that is from its limit.
"""

from __future__ import annotations

import json
import math
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from sgn_rt.audio.labelled_music import load_music
from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import EngineError
from sgn_rt.export.probes import make_probe
from sgn_rt.export.proof import measure_graph
from sgn_rt.export.writer import write_unproved
from sgn_rt.model.bundle import Bundle, embedded
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, SECOND_HALVES, Kind, Precision
from sgn_rt.model.sgn_config import SgnConfig
from sgn_rt.model.stages import StageResult
from sgn_rt.reference import PAPER, Sgn, load, random_model, save_checkpoint

EPSILONS: Final = (1e-3, 1e-5)
"""Of the random networks, in turn: the published model's, and the one before it had 1e-5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one graph showed.

    Attributes
    ----------
    model
        Its name.
    log_epsilon
        The model's.
    graph
        Kind and precision.
    stages
        Every stage measured.
    presence
        Largest difference of a presence from the reference's; None where no engine runs the graph.
    """

    model: str
    log_epsilon: float
    graph: str
    stages: tuple[StageResult, ...]
    presence: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "model": self.model,
            "log_epsilon": self.log_epsilon,
            "graph": self.graph,
            "stages": {result.stage: result.to_dict() for result in self.stages},
            "presence": self.presence,
        }


def random_config(seed: int, log_epsilon: float) -> SgnConfig:
    """A configuration of small to medium size, the same for the same seed."""
    pick = random.Random(seed)
    n_fft = pick.choice([254, 400, 510, 512, 1022, 1024, 2046])
    hop = n_fft // pick.choice([2, 4, 4, 8])
    frames = pick.choice([128, 256])
    heads = pick.choice([1, 2, 4, 8])
    return replace(
        PAPER,
        sample_rate=pick.choice([8000, 11025, 16000, 22050, 44100]),
        n_fft=n_fft,
        hop_length=hop,
        window_samples=(frames - 1) * hop + pick.randrange(hop),
        frames=frames,
        frequency_bins=pick.choice([128, 256]),
        log_epsilon=log_epsilon,
        encoder_channels=tuple(pick.choice([4, 8, 16, 32, 48]) for _ in range(7)),
        mask_basis=pick.choice([1, 4, 16, 32]),
        token_level=pick.choice([2, 3, 4, 5]),
        embedding_dim=heads * pick.choice([8, 16, 32]),
        transformer_depth=pick.choice([0, 1, 2, 3]),
        attention_heads=heads,
        # Instruments, so that the stems of the music are known: the stage ``quality`` needs some.
        categories=PAPER.categories[: pick.choice([1, 2, 6, 11])],
    )


def models(count: int) -> Iterator[tuple[str, Sgn]]:
    """The model that ships, and ``count`` random ones."""
    yield "published", load(embedded() / BUNDLE_CHECKPOINT)
    for seed in range(count):
        config = random_config(seed, EPSILONS[seed % len(EPSILONS)])
        yield f"random {seed}", random_model(config, seed)


def figures(
    name: str,
    model: Sgn,
    kinds: Sequence[Kind],
    precisions: Sequence[Precision],
    tell: Callable[[str], None],
) -> Iterator[Figures]:
    """Export a model, and measure its graphs without any limit."""
    assignment = Kind.CORE in kinds
    music = load_music(None, model.config.sample_rate)
    probe = make_probe(model, music, assignment=assignment)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        save_checkpoint(model, model.config, folder / BUNDLE_CHECKPOINT)
        write_unproved(
            model, probe, folder, kinds=kinds, precisions=precisions, name=name,
            assignment=assignment,
        )  # fmt: skip
        bundle = Bundle.open(folder)
        for artifact in bundle.artifacts:
            if artifact.kind in SECOND_HALVES:
                continue  # measured with the first
            try:
                results = measure_graph(bundle, artifact, model, _quietly)
            except EngineError as error:
                tell(f"{name}: {artifact.name}: {error}")
                continue
            presence = None
            if artifact.kind != Kind.PLUGIN:
                engine = open_engine(f"onnxruntime:{artifact.name}", bundle)
                none = np.zeros(0, np.int64)
                heard = engine.separate(probe.mixture, none).presence
                presence = float(np.abs(heard - probe.presence).max())
            yield Figures(
                model=name,
                log_epsilon=model.config.log_epsilon,
                graph=artifact.name,
                stages=tuple(results),
                presence=presence,
            )


def _quietly(line: str) -> None:
    del line


def worst(rows: Iterable[Figures]) -> dict[tuple[str, float, str], tuple[StageResult, str]]:
    """Worst figure and whose it is, by precision, log_epsilon and stage."""
    found: dict[tuple[str, float, str], tuple[StageResult, str]] = {}
    for row in rows:
        precision = row.graph.partition(".")[2]
        for result in row.stages:
            key = (precision, row.log_epsilon, str(result.stage))
            before = found.get(key)
            if before is None or margin(result) < margin(before[0]):
                found[key] = (result, f"{row.model}, {row.graph}")
    return found


def margin(result: StageResult) -> float:
    """How many times the error of a result goes into its limit: above 1 where it holds."""
    limit, figure = result.limit.value, result.figure
    if result.limit.at_least:
        return float(10 ** ((figure - limit) / 20))
    if figure <= 0:
        return math.inf
    return limit / figure


def _choices(names: Iterable[str]) -> click.Choice[str]:
    return click.Choice([str(name) for name in names])


@click.command()
@click.option("--models", "count", default=50, show_default=True, help="Random models.")
@click.option("--kind", "kinds", multiple=True, type=_choices(Kind), default=["core"],
              show_default=True, help="Graphs; several are allowed.")  # fmt: skip
@click.option("--precision", "precisions", multiple=True, type=_choices(Precision),
              default=["fp32", "fp16"], show_default=True, help="Several are allowed.")  # fmt: skip
@click.option("--json", "path", type=click.Path(dir_okay=False), help="Every figure, JSON Lines.")
def main(count: int, kinds: tuple[str, ...], precisions: tuple[str, ...], path: str | None) -> None:
    """Export models, measure every stage, and tell the worst figures and their margins."""
    rows: list[Figures] = []
    for name, model in models(count):
        chosen = [Kind(kind) for kind in kinds], [Precision(p) for p in precisions]
        for row in figures(name, model, *chosen, click.echo):
            rows.append(row)
            shown = "  ".join(f"{r.stage} {r.figure:.3g}" for r in row.stages)
            click.echo(f"{row.model}, {row.log_epsilon:g}, {row.graph}: {shown}")
            if path is not None:
                with Path(path).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row.to_dict()) + "\n")
    click.echo("\nprecision  log_epsilon  stage        worst        limit        margin  of")
    for (precision, epsilon, stage), (result, whose) in worst(rows).items():
        click.echo(
            f"{precision:9}  {epsilon:<11g}  {stage:11}  {result.figure:<11.3g}  "
            f"{result.limit!s:>20}  {margin(result):<6.3g}  {whose}"
        )
    for precision in precisions:
        seen = [r.presence for r in rows if r.presence is not None and r.graph.endswith(precision)]
        if seen:
            click.echo(f"{precision}: largest difference of a presence {max(seen):.3g}")


if __name__ == "__main__":
    main()
