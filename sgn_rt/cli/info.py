"""``sgn-rt info``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from sgn_rt.cli.common import console, json_option, table, write_json
from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import OUTDATED, Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import SECOND_HALVES, networks_of
from sgn_rt.model.schema import check_schema
from sgn_rt.tensorrt.bindings import version_text
from sgn_rt.tensorrt.engine_files import read_sidecars
from sgn_rt.tensorrt.sidecar import Sidecar


@click.command("info")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True,
              help="Validate bundle.json against its JSON schema, too.")  # fmt: skip
@json_option
def command(bundle: Path | None, check: bool, json_path: Path | None) -> None:
    """Show what is in a bundle: model, graphs, measured parity, TensorRT engines."""
    opened = Bundle.open(bundle)
    if check:
        check_schema(opened)
    engines, unreadable = [], None
    try:
        engines = read_sidecars(opened)
    except EngineError as error:  # of the rest there is still something to say
        unreadable = str(error)
    config = opened.config
    if json_path is not None:
        write_json(json_path, _as_json(opened, engines, unreadable))
        if str(json_path) == "-":
            return
    out = console()
    size = sum(record.size for record in opened.files.values())
    out.print(f"{opened.name}  {opened.root}  ({size / 1e6:.1f} MB, hashes verified)")
    sealed = "no digest" if opened.digest is None else f"digest {opened.digest[:12]}"
    out.print(f"licence {opened.licence}, written by {opened.generator}")
    valid = ", manifest valid" if check else ""
    out.print(f"bundle schema {opened.schema}, {sealed}{valid}")
    out.print(
        f"{config.sample_rate} Hz, windows of {config.window_s:.2f} s, STFT {config.n_fft}/"
        f"{config.hop_length}, masks {config.frequency_bins} x {config.frames}"
    )
    out.print(f"{len(config.categories)} categories: {', '.join(config.categories)}")
    if config.is_whole:
        out.print(_network(config))
    out.print(_graphs(opened))
    if engines:
        out.print(_engines(engines))
    if unreadable is not None:
        out.print(f"engines: {unreadable}")


def _network(config: ModelConfig) -> str:
    """What a network that is none of ours takes and gives."""
    window = config.window if isinstance(config.window, str) else "its own window"
    says = "says" if config.has_presence else "does not say"
    return (
        f"a network of its own: {config.input} on the {config.frequency_axis} axis, {window}, "
        f"{config.mask} masks; it {says} what is present"
        + ("" if config.has_presence else ", so all categories count as present")
    )


def _as_json(bundle: Bundle, engines: Sequence[Sidecar], unreadable: str | None) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "licence": bundle.licence,
        "generator": bundle.generator,
        "schema": bundle.schema,
        "digest": bundle.digest,
        "folder": str(bundle.root),
        "config": bundle.config.to_dict(),
        "artifacts": {a.name: {"path": a.path, "parity": a.parity} for a in bundle.artifacts},
        "outdated": [artifact.name for artifact in bundle.outdated],
        "engines": {engine.name: engine.to_dict() for engine in engines},
        "engines_error": unreadable,
    }


def _graphs(opened: Bundle) -> Table:
    rows = table("graph", "file", "MB", "opset", "weights", "parity as exported")
    for artifact in (*opened.artifacts, *opened.outdated):
        stages = ", ".join(
            f"{stage} {_figure(entry['figure'])} {entry['unit']}".strip()
            for stage, entry in artifact.parity.items()
        )
        size = opened.files[artifact.path].size
        weights = ", ".join(artifact.external) or "inside"
        if artifact.kind in SECOND_HALVES:
            goes_with = {f"{k}.{p}" for k, p in networks_of(artifact.kind, artifact.precision)}
            names = [a.name for a in opened.artifacts if a.name in goes_with]
            weights, stages = "none", f"of {' and '.join(names)}, which it goes with"
        if artifact in opened.outdated:
            stages = OUTDATED
        row = (
            artifact.name,
            artifact.path,
            f"{size / 1e6:.1f}",
            str(artifact.opset),
            weights,
            stages,
        )
        rows.add_row(*row)
    return rows


def _engines(engines: Sequence[Sidecar]) -> Table:
    rows = table("engine", "for", "MB", "windows", "categories", "kernels", "memory", "parity")
    for engine in engines:
        rows.add_row(
            engine.name,
            f"{engine.flavor} {version_text(engine.version)}",
            f"{engine.size / 1e6:.1f}",
            f"1 to {engine.max_batch}",
            "" if engine.max_sources is None else f"1 to {engine.max_sources}",
            str(engine.figure.kernels),
            engine.figure.memory,
            _proof(engine),
        )
    return rows


def _proof(engine: Sidecar) -> str:
    if engine.is_outdated:
        return f"of a graph that was {OUTDATED}"
    if engine.kind in SECOND_HALVES:
        return "its network's"
    if engine.proof is None:
        return "unproved until its first start"
    return f"holds on {engine.proof['gpu']}"


def _figure(value: float | None) -> str:
    return "exact" if value is None else f"{value:.3g}"
