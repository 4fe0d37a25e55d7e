"""``sgn-rt parity --music``, ``--against``, ``--bundle-diff``: windows looked at one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgn_rt._optional import require
from sgn_rt.audio.labelled_music import Piece, load_mixtures
from sgn_rt.cli.parity_page import windows_of
from sgn_rt.cli.parity_report import Comparison
from sgn_rt.engines.base import Engine, MaskEngine
from sgn_rt.engines.factory import open_engine
from sgn_rt.engines.torch import TorchEngine
from sgn_rt.model.bundle import Bundle, FileRecord
from sgn_rt.model.config import differences, expect_same_model
from sgn_rt.parity.excerpts import Excerpt, coarser, of_music, of_probe, worst_of
from sgn_rt.parity.weights import weights_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What engines are compared on, and with whom.

    Attributes
    ----------
    music
        Folder of mixtures; None for the windows of the probe.
    against
        Engine that is the truth, or a checkpoint; None for the reference: the probe's own answers,
        or on music PyTorch.
    old
        Bundle whose answers are the truth; None for the bundle's own.
    """

    music: Path | None = None
    against: str | None = None
    old: Bundle | None = None


def reference_of(bundle: Bundle, subject: Subject) -> Engine | None:
    """The engine that is the truth; None where probes hold it.

    Raises
    ------
    SgnError
        If it does not open.
    """
    truth = subject.old or bundle
    if subject.against is None:
        return None if subject.music is None else open_engine("torch", truth)
    if subject.against.endswith(".safetensors"):
        require("torch", extra="export", purpose="a checkpoint to compare with")
        return TorchEngine(truth, Path(subject.against))
    return open_engine(subject.against, truth)


def comparison_on(
    bundle: Bundle, subject: Subject
) -> Callable[[Bundle, str, int | None], Comparison]:
    """What compares an engine on the windows of a subject.

    Raises
    ------
    SgnError
        If the truth does not open, or the music does not read.
    """
    truth = subject.old or bundle
    if subject.old is not None:
        expect_same_model(bundle.root, bundle.config, subject.old.config)
    reference = reference_of(bundle, subject)
    rate = bundle.config.sample_rate
    pieces = None if subject.music is None else load_mixtures(subject.music, rate)

    def excerpts() -> Iterable[Excerpt]:
        if reference is None:
            return of_probe(truth.probe)
        return of_music(_probe_pieces(truth) if pieces is None else pieces, reference)

    kept: list[Excerpt] = []  # the probe's; all of an hour of music would not fit

    def compare(opened: Bundle, spec: str, device: int | None) -> Comparison:
        engine = open_engine(spec, opened, device=device)
        if pieces is None and not kept:
            kept.extend(excerpts())
        precision = engine.precision
        if reference is not None:
            precision = coarser(precision, reference.precision)
        found = worst_of(
            engine,
            excerpts() if pieces is not None else kept,
            inside=reference is None or isinstance(reference, MaskEngine),
            precision=precision,
        )
        worst = {str(stage): each for stage, each in found.items()}
        results = {stage: each.result for stage, each in worst.items()}
        if truth is bundle and subject.against is None:  # else its weights may well be others
            results |= {str(result.stage): result for result in weights_of(engine, opened)}
        return Comparison(
            engine=spec,
            detail=engine.detail,
            results=results,
            figures={
                "stages": {stage: result.to_dict() for stage, result in results.items()},
                "worst": windows_of(worst),
            },
            worst=worst,
            sample_rate=rate,
        )

    return compare


def _probe_pieces(bundle: Bundle) -> list[Piece]:
    """The probe's windows as music."""
    probe, names = bundle.probe, bundle.config.categories
    return [
        Piece(
            f"probe {w}",
            probe.mixture[w],
            {
                names[c]: probe.stems[w, column]
                for column, c in enumerate(probe.categories[w])
                if probe.stem_known[w, column]
            },
        )
        for w in range(probe.windows)
    ]


def changes_between(old: Bundle, new: Bundle) -> dict[str, tuple[Any, Any]]:
    """What differs between two bundles: configuration, graphs, files, and figures written down."""
    found: dict[str, tuple[Any, Any]] = dict(differences(old.config, new.config))
    for name in sorted({*old.files, *new.files}):
        a, b = old.files.get(name), new.files.get(name)
        if a is None or b is None or a.sha256 != b.sha256:
            found[name] = (_digest(a), _digest(b))
    graphs = [sorted(artifact.name for artifact in bundle.artifacts) for bundle in (old, new)]
    if graphs[0] != graphs[1]:
        found["graphs"] = (", ".join(graphs[0]) or "none", ", ".join(graphs[1]) or "none")
    return found


def _digest(record: FileRecord | None) -> str:
    return "none" if record is None else f"sha256 {record.sha256[:12]}"
