"""Which two windows of music tell most of what is wrong with an engine.

``python -P -m sgn_rt.benchmarks.studies.probes --write docs/parity.md`` cuts windows out of the
music that ships (mixtures, stems alone, stems of different pieces together, at several places and
levels), puts into the network each fault of a weight that is within reach of a limit, and looks at
every pair of windows: how many faults does it show, and by what margin? Windows are looked at for
the stages ``network``, ``network-max`` and ``presence``; those on which a right engine (ONNX
Runtime) comes near a limit are no choice. Five minutes on one core that does nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import click
import numpy as np
import torch
from numpy.typing import NDArray

from sgn_rt._atomic import write_named
from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import Piece, load_music
from sgn_rt.benchmarks.studies.faults import Fault, faults
from sgn_rt.benchmarks.studies.graph_faults import OF_WEIGHTS
from sgn_rt.benchmarks.studies.page import written
from sgn_rt.benchmarks.studies.probe_windows import PLACES, windows_of
from sgn_rt.benchmarks.studies.suspect import Suspect
from sgn_rt.engines.base import MaskEngine
from sgn_rt.engines.factory import open_engine
from sgn_rt.export.probes import choose
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, Precision
from sgn_rt.model.probe import Probe
from sgn_rt.model.stages import Stage, limit_for
from sgn_rt.parity.metrics import relative
from sgn_rt.reference import Sgn, load

PLACE: Final = "probes"
"""Of the table on the page."""
MARGIN: Final = 4.0
"""Between a right engine and a limit: a window on which it comes nearer is none for a probe."""
REACH: Final = 4.0
"""Faults that today's windows show by less than this many limits are looked at on all windows."""
_STAGES: Final = (Stage.NETWORK, Stage.NETWORK_MAX, Stage.PRESENCE)

Ratios = NDArray[np.float64]
"""Largest figure of a stage, in limits, for each window, or fault and window: above 1 is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Windows, and what they tell.

    Attributes
    ----------
    name
        What they are, for people.
    windows
        Their positions.
    told
        Faults beyond a limit.
    margin
        Mean of the faults' ratios to the limits, dB: how far beyond, or short of it.
    """

    name: str
    windows: tuple[int, ...]
    told: int
    margin: float


class Search:
    """Windows with what the right network makes of them, and faults in that network.

    Parameters
    ----------
    model
        The network.
    windows
        Each of a window's length.
    tell
        Told what is being done.
    """

    def __init__(self, model: Sgn, windows: Sequence[Piece], tell: Callable[[str], None]) -> None:
        self.suspect, self._tell = Suspect(model), tell
        self.windows = list(windows)
        self._answers = [_answers(model, window) for window in self.windows]
        epsilon = model.config.log_epsilon
        self._limits = [limit_for(stage, Precision.FP32, epsilon).value for stage in _STAGES]

    @property
    def faults(self) -> list[Fault]:
        """Those that lie in a weight."""
        return [f for f in faults(self.suspect.model) if f.kind.startswith(OF_WEIGHTS)]

    def ratios(self, fault: Fault, some: Sequence[int] | None = None) -> Ratios:
        """What a fault shows on each window, or on ``some`` of them."""
        chosen = range(len(self.windows)) if some is None else some
        answers = [self._answers[i] for i in chosen]
        model = self.suspect.model
        # What stands beside the convolutions leaves their results as they are.
        keeps = not fault.where.startswith(("input_norm", "encoder", "decoder"))
        with fault.made(self.suspect), torch.inference_mode():
            if keeps:
                embedding, _, presence, _ = model.group(torch.cat([a.level for a in answers]))
                guide = model.mask_guide(embedding)
                made = [
                    (a.basis, guide[i : i + 1], presence[i : i + 1]) for i, a in enumerate(answers)
                ]
                return np.array(list(map(self._faulty, answers, made)))
            return np.array([self._faulty(a, model.network(a.log_magnitude)[:3]) for a in answers])

    def sound(self, engine: MaskEngine) -> Ratios:
        """What a right engine shows on each window."""
        found = []
        for answer in self._answers:
            log_magnitude, chosen = answer.log_magnitude.numpy(), np.array(answer.categories)
            made = engine.masks(log_magnitude, chosen)
            found.append(self._ratio(answer, made.masks, made.presence))
        return np.array(found)

    def _faulty(self, right: _Answers, made: Sequence[torch.Tensor]) -> float:
        basis, guide, presence = made
        masks = self.suspect.model.mask(basis, guide[:, right.categories])
        return self._ratio(right, masks.numpy(), presence.numpy())

    def _ratio(self, right: _Answers, masks: Float, presence: Float) -> float:
        error = np.abs(masks - right.masks).ravel()
        rank = int(0.999 * (len(error) - 1))
        figures = (
            float(np.partition(error, rank)[rank]),
            float(error.max()),
            relative(presence, right.presence),
        )
        pairs = zip(figures, self._limits, strict=True)
        worst = float(np.max([figure / limit for figure, limit in pairs]))
        return worst if np.isfinite(worst) else np.inf

    def table(self, today: Sequence[int]) -> tuple[list[Fault], Ratios]:
        """Faults within reach of a limit on today's windows, and what they show on each."""
        every = self.faults
        near = [fault for fault in every if self.ratios(fault, today).max() < REACH]
        self._tell(f"{len(near)} of {len(every)} faults are within reach of a limit")
        rows = []
        for fault in near:
            rows.append(self.ratios(fault))
            told = int(np.count_nonzero(rows[-1] > 1.0))
            self._tell(f"{fault.kind}, {fault.where}: told by {told} of {len(self.windows)}")
        return near, np.array(rows).reshape(len(near), len(self.windows))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """What the right network makes of a window, for the categories that a probe would hold."""

    log_magnitude: torch.Tensor
    level: torch.Tensor
    """Of the encoder, the one that tokens are made of."""
    basis: torch.Tensor
    categories: list[int]
    masks: Float
    presence: Float


def _answers(model: Sgn, window: Piece) -> _Answers:
    with torch.inference_mode():
        log_magnitude = model.log_magnitude(model.stft(torch.from_numpy(window.mixture)[None]))
        basis, guide, presence, _ = model.network(log_magnitude)
        level = model.encode(log_magnitude)[model.config.token_level]
        chosen = choose(window, model.config, presence[0].numpy())
        masks = model.mask(basis, guide[:, chosen])
    return _Answers(
        log_magnitude=log_magnitude, level=level, basis=basis, categories=chosen,
        masks=masks.numpy(), presence=presence.numpy(),
    )  # fmt: skip


def choice(name: str, ratios: Ratios, windows: Sequence[int]) -> Choice:
    """What some windows tell, of faults x windows."""
    most = ratios[:, list(windows)].max(axis=1)
    with np.errstate(divide="ignore"):
        margins = 20.0 * np.log10(np.clip(most, 1e-3, 1e3))
    return Choice(
        name=name, windows=tuple(windows), told=int(np.count_nonzero(most > 1.0)),
        margin=float(margins.mean()) if len(margins) else 0.0,
    )  # fmt: skip


def best(name: str, ratios: Ratios, count: int) -> Choice:
    """The windows that tell most, and of those that tell as much the ones by the largest margin.

    All pairs are looked at; more windows are added one by one.
    """
    every = range(ratios.shape[1])
    sets = combinations(every, min(count, 2, ratios.shape[1]))
    found = max((choice(name, ratios, each) for each in sets), key=_rank)
    while len(found.windows) < min(count, ratios.shape[1]):
        held = found.windows
        more = ((*held, i) for i in every if i not in held)
        found = max((choice(name, ratios, each) for each in more), key=_rank)
    return found


def _rank(found: Choice) -> tuple[int, float]:
    return found.told, found.margin


def page_table(choices: Sequence[Choice], windows: Sequence[Piece], near: int) -> str:
    """What the page says, as Markdown."""
    lines = [
        f"| windows | faults told, of {near} | mean margin | which |",
        "| --- | --- | --- | --- |",
    ]
    for each in choices:
        whole = len(each.windows) == len(windows)
        names = "" if whole else "; ".join(windows[i].name for i in each.windows)
        lines.append(f"| {each.name} | {each.told} | {each.margin:+.1f} dB | {names} |")
    return "\n".join(lines)


def lost(search: Search, near: Sequence[Fault], windows: Sequence[int]) -> list[Fault]:
    """Faults that today's windows show by far, and others do not."""
    known = {(fault.kind, fault.where) for fault in near}
    rest = [fault for fault in search.faults if (fault.kind, fault.where) not in known]
    return [fault for fault in rest if search.ratios(fault, windows).max() <= 1.0]


@click.command()
@click.option("--bundle", "folder", type=click.Path(path_type=Path), help="The shipped one.")
@click.option("--places", default=PLACES, show_default=True, help="Of a signal, to cut at.")
@click.option("--write", "page", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Page to print the table into.")  # fmt: skip
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False),
              help="Every ratio, JSON.")  # fmt: skip
def main(folder: Path | None, places: int, page: Path | None, path: Path | None) -> None:
    """Tell the windows of the music that ships that show most faults."""
    if page is not None:
        written(page.read_text(encoding="utf-8"), "", PLACE)  # told before the work
    torch.set_num_threads(1)  # two on a busy machine are slower than one
    bundle = Bundle.open(folder)
    model = load(bundle.root / BUNDLE_CHECKPOINT)
    pieces = load_music(None, bundle.config.sample_rate)
    cut = windows_of(pieces, bundle.config.window_samples, places)
    search = Search(model, [*_today(bundle.probe, bundle), *cut], click.echo)
    today = range(bundle.probe.windows)
    with closing(open_engine("onnxruntime", bundle)) as engine:
        assert isinstance(engine, MaskEngine)
        sound = search.sound(engine)
    unfit = [int(i) for i in np.flatnonzero(sound * MARGIN > 1.0) if i not in today]
    click.echo(f"{len(unfit)} of {len(sound)} windows leave a right engine less than {MARGIN:g}")
    near, ratios = search.table(today)
    ratios[:, unfit] = 0.0  # what they tell does not count
    choices = [
        choice("today's", ratios, today),
        *(best(f"best {count}", ratios, count) for count in (1, 2, 4)),
        choice(f"all {len(search.windows)}", ratios, range(len(search.windows))),
    ]
    text = page_table(choices, search.windows, len(near))
    click.echo(text)
    for each in choices[1:-1]:
        names = ", ".join(f"{f.kind}: {f.where}" for f in lost(search, near, each.windows))
        click.echo(f"{each.name}: of what today's show by far it loses {names or 'nothing'}")
    if path is not None:
        content = {
            "windows": [window.name for window in search.windows],
            "faults": [[fault.kind, fault.where] for fault in near],
            "sound": sound.tolist(),
            "ratios": [[r if np.isfinite(r) else None for r in row] for row in ratios.tolist()],
        }
        write_named(path, json.dumps(content).encode())
    if page is not None:
        write_named(page, written(page.read_text(encoding="utf-8"), text, PLACE).encode())


def _today(probe: Probe, bundle: Bundle) -> Iterator[Piece]:
    """The windows that the bundle has, with the stems that it knows of them."""
    names = bundle.config.categories
    for w in range(probe.windows):
        stems = {
            names[category]: probe.stems[w, column]
            for column, category in enumerate(probe.categories[w])
            if probe.stem_known[w, column]
        }
        yield Piece(f"probe {w}", probe.mixture[w], stems)


if __name__ == "__main__":
    main()
