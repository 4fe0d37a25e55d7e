"""A file explained: read, heard, separated, and what is told of it written, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.file_names import safe_name
from sgn_rt.audio.labelled_music import stems_of
from sgn_rt.audio.level import gain_db, measure_level
from sgn_rt.audio.recording import open_recording
from sgn_rt.audio.resample import at_rate
from sgn_rt.audio.run_folder import RunFolder
from sgn_rt.errors import AudioError
from sgn_rt.explain.arrays import as_npz
from sgn_rt.explain.explanation import Explanation
from sgn_rt.explain.figures import require_figures
from sgn_rt.explain.hearing import listen
from sgn_rt.explain.network import Network, open_network
from sgn_rt.explain.occlusion import occlude
from sgn_rt.explain.page import as_page
from sgn_rt.explain.pictures import pictures, require_pictures
from sgn_rt.explain.why import as_text
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.separator import Separator
from sgn_rt.streaming.choices import checked_categories
from sgn_rt.streaming.presence import PresenceRule

FOLDER_SUFFIX: Final = ".explain"
PAGE: Final = "index.html"
ARRAYS: Final = "explain.npz"
TEXT: Final = "why.md"
MOST_SECONDS: Final = 180.0
"""Of a recording: all of it is in the page, sound included."""
MOST_SHOWN: Final = 8
"""Categories shown where nobody names some."""
LEAST_SHOWN: Final = 2
"""Of those that are not heard so many are shown, too, if there are none else."""

Tell = Callable[[float, str], object]
"""Told what part is done, 0 to 1, and of what."""


def unheard(*told: object) -> None:
    """Tell nobody."""
    del told


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be explained.

    Attributes
    ----------
    path
        The file.
    categories
        Names to show; None for those that are heard.
    labels
        Names of what truly sounds; None for those of the stems beside ``NAME.mix.EXT``, if any.
    start_s, duration_s
        The part that is wanted, seconds; None for all that follows.
    """

    path: Path
    categories: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    start_s: float = 0.0
    duration_s: float | None = None


def explain(
    request: Request,
    bundle: Bundle,
    *,
    engine: str = "auto",
    threads: int | None = None,
    tell: Tell = unheard,
) -> Explanation:
    """Look into what a model hears in a file. Channels are averaged.

    Parameters
    ----------
    request
        What is wanted.
    bundle
        The model.
    engine, threads
        Of the sources, as `Separator.open`.
    tell
        Who looks on.

    Raises
    ------
    AudioError, CategoryError, ConfigError, EngineError, DependencyError
        For what cannot be read, is not known, cannot be had, fails, or is not installed.
    """
    config = bundle.config
    chosen = None if request.categories is None else checked_categories(config, request.categories)
    if request.labels is not None:
        checked_categories(config, request.labels)
    require_figures()
    mixture = _read(request.path, request, config.sample_rate)
    labels, stems = _truth(request, config, len(mixture))
    network = open_network(bundle)
    measure = measure_level([mixture[None]], config.window_samples)
    if measure.dbfs is None:
        raise AudioError(
            f"{request.path}: got silence, expected sound. Choose another part of it, or another "
            "file."
        )
    gain = gain_db(measure, config.training_level_dbfs)
    heard = mixture * np.float32(10.0 ** (gain / 20.0))
    limits = np.broadcast_to(PresenceRule.of(config).thresholds, len(config.categories))
    thresholds = limits.astype(np.float32)

    def wanted(presence: Float) -> list[int]:
        if chosen is not None:
            return [config.categories.index(name) for name in chosen]
        return _shown(presence.max(axis=0), thresholds, [config.categories.index(n) for n in stems])

    tell(0.0, "listening")
    hearing = listen(network, config, heard, wanted=wanted, tell=lambda d: tell(d / 3, "listening"))
    occlusions = _occluded(network, hearing, heard, thresholds, tell)
    with Separator.open(bundle, engine, threads=threads) as separator:
        separation = separator.separate(
            mixture,
            hearing.names,
            sample_rate=config.sample_rate,
            level=gain,
            residual=True,
            progress=lambda done: tell((2 + done) / 3, "separating"),
        )
    return Explanation(
        title=request.path.name,
        model=bundle.name,
        network=network.detail,
        hearing=hearing,
        thresholds=thresholds,
        mixture=mixture,
        sources={name: sound[0] for name, sound in separation.sources.items()},
        gain_db=gain,
        present=frozenset(separation.present),
        occlusions=tuple(occlusions),
        labels=labels,
        stems=stems,
        start_s=request.start_s,
    )


def _occluded(network: Network, hearing: Any, heard: Float, thresholds: Float, tell: Tell) -> Any:
    windows = hearing.windows
    highest = hearing.presence[windows.own].max(axis=0)
    looked = tuple(i for i in hearing.shown if highest[i] >= thresholds[i])
    return occlude(
        network, hearing.config, heard, windows, hearing.presence, looked,
        tell=lambda done: tell((1 + done) / 3, "silencing parts"),
    )  # fmt: skip


def explain_to(
    request: Request,
    folder: Path,
    bundle: Bundle,
    *,
    engine: str = "auto",
    threads: int | None = None,
    tell: Tell = unheard,
) -> tuple[Explanation, dict[str, Path]]:
    """As `explain`, written to ``folder/<file's name>.explain/``: whole, or not at all.

    What an earlier run wrote there is replaced.

    Returns
    -------
    explanation : Explanation
    files : dict
        Name -> where it is.

    Raises
    ------
    AudioError, CategoryError, ConfigError, EngineError, DependencyError
        As `explain`, and for what cannot be written.
    """
    require_pictures()
    name = safe_name(request.path.stem + FOLDER_SUFFIX)
    owned = RunFolder.claim(folder, request.path, name)
    explanation = explain(request, bundle, engine=engine, threads=threads, tell=tell)
    with owned:
        contents = {
            PAGE: as_page(explanation).encode(),
            ARRAYS: as_npz(explanation),
            TEXT: as_text(explanation).encode(),
            **pictures(explanation),
        }
        made = {}
        for file, content in contents.items():
            made[file] = owned.work / file
            made[file].write_bytes(content)
        return explanation, owned.commit(made, {"model": bundle.identity})


def _read(path: Path, request: Request, sample_rate: int) -> Float:
    """The part that is wanted, channels averaged, at the model's rate."""
    recording = open_recording(path, start_s=request.start_s, duration_s=request.duration_s)
    seconds = recording.samples / recording.sample_rate
    if seconds > MOST_SECONDS:
        raise AudioError(
            f"{path}: got {seconds:.0f} s, expected at most {MOST_SECONDS:g} s, as the page holds "
            "all of it. Choose a part with --start and --duration."
        )
    blocks = [block.mean(axis=0, dtype=np.float32) for block in recording.blocks(1 << 18)]
    return at_rate(np.concatenate(blocks), recording.sample_rate, sample_rate)


def _truth(
    request: Request, config: ModelConfig, samples: int
) -> tuple[frozenset[str] | None, dict[str, Float]]:
    """Labels, and true sound of those that the model knows, each of so many samples."""
    path = request.path
    found = stems_of(path, sorted(path.parent.iterdir())) if path.parent.is_dir() else {}
    labels = request.labels if request.labels is not None else (found or None)
    stems = {}
    for category, file in found.items():
        if category not in config.categories or category not in (labels or ()):
            continue
        stems[category] = _read(file, request, config.sample_rate)
        if len(stems[category]) != samples:
            raise AudioError(
                f"{file}: got {len(stems[category])} samples at {config.sample_rate} Hz, expected "
                f"the {samples} of {path}, whose stem it is. Cut both to one length, or name "
                "--labels without it."
            )
    return None if labels is None else frozenset(labels), stems


def _shown(highest: Float, thresholds: Float, true: Sequence[int]) -> list[int]:
    """Categories that are heard or true, the most present first; some in any case."""
    order = [int(i) for i in np.argsort(-highest, kind="stable")]
    found = [i for i in order if highest[i] >= thresholds[i] or i in true][:MOST_SHOWN]
    return found if len(found) >= LEAST_SHOWN else order[:LEAST_SHOWN]
