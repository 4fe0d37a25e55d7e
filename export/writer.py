"""From a checkpoint to a bundle: build, prove, and only then put it in its place."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, Final

import sgn_rt
from sgn_rt._atomic import whole_folder
from sgn_rt._optional import require
from sgn_rt.audio.labelled_music import load_music
from sgn_rt.errors import BundleError, ConfigError
from sgn_rt.export.calibration import calibration_material
from sgn_rt.export.graphs import as_sgn, build_graph
from sgn_rt.export.int8 import build_int8
from sgn_rt.export.probes import make_probe
from sgn_rt.export.proof import prove
from sgn_rt.export.shared import share_weights
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import (
    BUNDLE_CHECKPOINT,
    BUNDLE_MANIFEST,
    BUNDLE_PROBE,
    BUNDLE_SCHEMA,
    FLOATS,
    OPTIONAL_OUTPUTS,
    SECOND_HALVES,
    WHOLE_KINDS,
    Kind,
    Precision,
    exists,
    networks_of,
    partner,
)
from sgn_rt.model.manifest import DIGEST_KEY, digest_of
from sgn_rt.model.probe import Probe
from sgn_rt.model.stages import StageResult
from sgn_rt.reference import Reference, Sgn, load, save_checkpoint
from sgn_rt.reference.factory import load_module
from sgn_rt.streaming.windows import WindowLayout

Tell = Callable[[str], None]
"""Told each step in a line of text."""
SHARING: Final = ((Kind.CORE, Precision.FP32), (Kind.WAVEFORM, Precision.FP32))
"""Graphs that may refer to the checkpoint's weights."""


def export_bundle(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    kinds: Sequence[Kind] = tuple(Kind),
    precisions: Sequence[Precision] = FLOATS,
    key_map: str | Path | None = None,
    music: str | Path | None = None,
    calibration: Sequence[str | Path] = (),
    name: str | None = None,
    licence: str = "unspecified",
    shared_weights: bool = False,
    assignment: bool = False,
    overwrite: bool = False,
    tell: Tell | None = None,
) -> dict[str, list[StageResult]]:
    """Export a checkpoint to a bundle, if and only if every artifact holds parity.

    Parameters
    ----------
    checkpoint
        Trained weights (`sgn_rt.reference.load`).
    folder
        The bundle to write; it appears whole, or not at all.
    kinds, precisions
        The graphs: every kind in every precision, of those that exist. ``core`` and ``masks`` are a
        pair, and so are ``plugin`` and ``synthesis``: who names one gets both.
    key_map
        Renames the tensors of other training code.
    music
        Folder of mixtures with stems (`sgn_rt.audio.labelled_music.load_music`) to probe with;
        None for the music that ships with the package.
    calibration
        Recordings to calibrate ``INT8`` on; none for the mixtures that ship with the package.
    name
        Of the model, written down; None for the checkpoint's file name.
    licence
        Of the weights, as SPDX; written down.
    shared_weights
        float32 graphs refer to the checkpoint's tensors in the bundle instead of holding their own:
        the bundle is then hardly larger than the checkpoint, but a graph needs it beside it. Not
        ``plugin``, which TensorRT reads: its parser would be given nodes in the place of weights.
    assignment
        ``core`` also gives each category's assignment, for `sgn_rt.explain`.
    overwrite
        Replace a bundle that is there already.
    tell
        Told what is being done.

    Returns
    -------
    dict
        Artifact -> measured stages; those of ``core`` are of the pair.

    Raises
    ------
    CheckpointError, AudioError
        For input that does not do.
    ConfigError
        For no kind or no precision, one named twice, or none that exists; for recordings to
        calibrate what nobody asks for.
    BundleError
        If the folder is there already, or cannot be written.
    ParityError
        Naming artifact, stage, figure and limit; nothing is written then.
    """
    # Longer than a page for its options, all of them of one call; the work is below.
    target = Path(folder)
    tell = tell or _ignore
    _expect_choice("kinds", kinds, tuple(Kind))
    _expect_choice("precisions", precisions, tuple(Precision))
    _expect_graphs(kinds, precisions, calibration)
    _expect_shown(assignment, kinds, precisions)
    _expect_free(target, overwrite)
    tell(f"loading {checkpoint}")
    model = load(checkpoint, key_map)

    def add_checkpoint(work: Path) -> None:
        _write_checkpoint(
            model, Path(checkpoint), work / BUNDLE_CHECKPOINT, renamed=key_map is not None
        )

    return _proved_bundle(
        model, target, music, add_checkpoint, kinds=kinds, precisions=precisions,
        calibration=calibration, name=name or Path(checkpoint).stem, licence=licence,
        shared_weights=shared_weights, assignment=assignment, tell=tell,
    )  # fmt: skip


def export_module_bundle(
    spec: str,
    checkpoint: str | Path,
    folder: str | Path,
    *,
    kinds: Sequence[Kind] = WHOLE_KINDS,
    precisions: Sequence[Precision] = FLOATS,
    music: str | Path | None = None,
    name: str | None = None,
    licence: str = "unspecified",
    overwrite: bool = False,
    tell: Tell | None = None,
) -> dict[str, list[StageResult]]:
    """Export a user's own network to a bundle, if and only if every artifact holds parity with it.

    Parameters
    ----------
    spec
        ``package.file:factory`` (`sgn_rt.reference.factory.load_module`).
    checkpoint
        What the factory is given. It does not become part of the bundle, nor does the code.
    kinds
        Of `sgn_rt.model.contract.WHOLE_KINDS`.
    precisions
        ``FP32``, ``FP16`` or both.
    folder, music, name, licence, overwrite, tell
        As `export_bundle`.

    Returns
    -------
    dict
        Artifact -> measured stages.

    Raises
    ------
    ModuleError
        For a factory or a network that breaks the interface, or cannot be exported.
    AudioError, ConfigError, BundleError, ParityError
        As `export_bundle`.
    """
    target = Path(folder)
    tell = tell or _ignore
    _expect_choice("kinds", kinds, WHOLE_KINDS)
    _expect_choice("precisions", precisions, FLOATS)
    _expect_free(target, overwrite)
    tell(f"loading {spec}")
    model = load_module(spec, checkpoint)
    return _proved_bundle(
        model, target, music, _ignore_folder, kinds=kinds, precisions=precisions,
        name=name or Path(checkpoint).stem, licence=licence, tell=tell,
    )  # fmt: skip


def _ignore_folder(work: Path) -> None:
    del work


def _proved_bundle(
    model: Reference,
    target: Path,
    music: str | Path | None,
    add_checkpoint: Callable[[Path], None],
    *,
    assignment: bool = False,
    **options: Any,
) -> dict[str, list[StageResult]]:
    """Probes, graphs and manifest of a network: written, proved, and put in their place."""
    heard = load_music(music, model.config.sample_rate)
    probe = make_probe(model, heard, assignment=assignment)
    with _written_whole(target) as work:
        add_checkpoint(work)
        manifest = write_unproved(model, probe, work, assignment=assignment, **options)
        measured = prove(Bundle.open(work), model, options["tell"])
        for entry in manifest["artifacts"]:
            results = measured[_proved_as(entry, measured)]
            entry["parity"] = {result.stage: result.to_dict() for result in results}
        _write_manifest(work, manifest)
    return measured


def write_unproved(
    model: Reference,
    probe: Probe,
    folder: Path,
    *,
    kinds: Sequence[Kind] = tuple(Kind),
    precisions: Sequence[Precision] = FLOATS,
    calibration: Sequence[str | Path] = (),
    name: str,
    licence: str = "unspecified",
    shared_weights: bool = False,
    assignment: bool = False,
    tell: Tell | None = None,
) -> dict[str, Any]:
    """Write a bundle's probes, graphs and manifest beside its checkpoint, and prove nothing.

    Parameters
    ----------
    model, probe
        The network, and what it makes of the probes.
    folder
        It is there, and holds the checkpoint (`sgn_rt.model.contract.BUNDLE_CHECKPOINT`) of a
        network that is ours.
    kinds, precisions, calibration, name, licence, shared_weights, assignment, tell
        As `export_bundle`.

    Returns
    -------
    dict
        The manifest as it was written.
    """
    tell = tell or _ignore
    (folder / BUNDLE_PROBE).write_bytes(probe.to_bytes())
    artifacts = []
    if Precision.INT8 in precisions:
        material = calibration_material(calibration, model.config)
    for kind, precision in _with_pairs(kinds, precisions, model.config):
        tell(f"exporting {kind}.{precision}")
        more = {"assignment": True} if assignment and kind in OPTIONAL_OUTPUTS else {}
        if precision == Precision.INT8:
            graph, record = build_int8(as_sgn(model), kind, material, tell, **more)
            entry = _write_graph(graph, kind, precision, folder) | {"quantization": record}
        else:
            graph = build_graph(model, kind, precision, **more)
            shared = shared_weights and (kind, precision) in SHARING
            entry = _write_graph(graph, kind, precision, folder, shared=shared)
        artifacts.append(entry)
    manifest = {
        "schema": BUNDLE_SCHEMA,
        "generator": f"sgn-rt {sgn_rt.__version__}",
        "name": name,
        "licence": licence,
        "config": model.config.to_dict(),
        "overlap_add": WindowLayout.offline(model.config).to_manifest(),
        "files": {path.name: _record(path) for path in sorted(folder.iterdir())},
        "artifacts": artifacts,
    }
    _write_manifest(folder, manifest)
    return manifest


@contextmanager
def _written_whole(target: Path) -> Iterator[Path]:
    """A folder to make a bundle in, which is put in its place at the end, or is gone."""
    try:
        with whole_folder(target) as work:
            yield work
    except OSError as error:
        raise _unwritable(target, error) from error


def _with_pairs(
    kinds: Sequence[Kind], precisions: Sequence[Precision], config: ModelConfig | None = None
) -> list[tuple[Kind, Precision]]:
    """Graphs in their order, each once, and no half of a pair; of SGN where none is named."""
    if config is not None and config.is_whole:
        return [
            graph
            for graph in product(WHOLE_KINDS, Precision)
            if _is_named(graph, kinds, precisions)
        ]
    wanted = set()
    for kind, precision in product(Kind, precisions):
        second = partner(kind, precision)
        if (
            exists(kind, precision)
            and kind not in SECOND_HALVES
            and (kind in kinds or (second and second[0] in kinds))
        ):
            wanted |= {(kind, precision), second}
    return [graph for graph in product(Kind, Precision) if graph in wanted]


def _is_named(
    graph: tuple[Kind, Precision], kinds: Sequence[Kind], precisions: Sequence[Precision]
) -> bool:
    return graph[0] in kinds and graph[1] in precisions


def _proved_as(entry: Mapping[str, Any], measured: Collection[str]) -> str:
    """Name of the graph under which another is proved: the second half of a pair with the first."""
    mine = (entry["kind"], entry["precision"])
    names = (f"{kind}.{precision}" for kind, precision in (mine, *networks_of(*mine)))
    return next(name for name in names if name in measured)


def _ignore(line: str) -> None:
    del line


def _expect_choice(what: str, chosen: Sequence[str], known: Sequence[str]) -> None:
    if not chosen or not set(chosen) <= set(known) or len(set(chosen)) < len(chosen):
        got = ", ".join(chosen) or "none"
        raise ConfigError(
            f"{what}: got {got}, expected one or more of {', '.join(known)}, each once. "
            "Leave the choice out for all."
        )


def _expect_graphs(
    kinds: Sequence[Kind], precisions: Sequence[Precision], calibration: Sequence[str | Path]
) -> None:
    if not _with_pairs(kinds, precisions):
        names = ", ".join(f"{kind}.{precision}" for kind, precision in product(kinds, precisions))
        existing = ", ".join(
            f"{kind}.{precision}"
            for kind, precision in product(Kind, precisions)
            if exists(kind, precision)
        )
        raise ConfigError(f"graphs: got {names}, expected one of {existing}. Choose another kind.")
    if calibration and Precision.INT8 not in precisions:
        raise ConfigError(
            f"calibration: got {len(calibration)} recordings for {', '.join(precisions)}, expected "
            f"{Precision.INT8} among the precisions. Add it, or leave the recordings out."
        )


def _expect_shown(assignment: bool, kinds: Sequence[Kind], precisions: Sequence[Precision]) -> None:
    graphs = _with_pairs(kinds, precisions)
    if assignment and not any(kind in OPTIONAL_OUTPUTS for kind, _ in graphs):
        raise ConfigError(
            f"assignment: got {', '.join(map('.'.join, graphs))}, expected {Kind.CORE} among the "
            "graphs, which alone gives it. Add it, or leave the assignment out."
        )


def _expect_free(target: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    is_bundle = (target / BUNDLE_MANIFEST).is_file()
    if target.is_dir() and not any(target.iterdir()):
        return
    if not (overwrite and is_bundle):
        found = "a bundle" if is_bundle else "something that is no bundle"
        advice = (
            "Name another folder, or pass --overwrite." if is_bundle else "Name another folder."
        )
        raise BundleError(f"{target}: got {found} there already, expected no such folder. {advice}")


def _unwritable(target: Path, error: OSError) -> BundleError:
    return BundleError(
        f"{target}: got {error.strerror or error}, expected to write the bundle. "
        "Check permissions and free space."
    )


def _write_checkpoint(model: Sgn, source: Path, target: Path, *, renamed: bool) -> None:
    if renamed:
        save_checkpoint(model, model.config, target)
    else:
        shutil.copyfile(source, target)


def _write_graph(
    graph: Any, kind: Kind, precision: Precision, work: Path, *, shared: bool = False
) -> dict[str, Any]:
    external: list[str] = []
    if shared:
        graph = share_weights(graph, work / BUNDLE_CHECKPOINT)
        external = [BUNDLE_CHECKPOINT]
    path = f"{kind}.{precision}.onnx"
    (work / path).write_bytes(graph.SerializeToString(deterministic=True))
    return {
        "path": path,
        "kind": kind,
        "precision": precision,
        "opset": next(o.version for o in graph.opset_import if o.domain == ""),
        "external": external,
        "inputs": [_tensor(value) for value in graph.graph.input],
        "outputs": [_tensor(value) for value in graph.graph.output],
        "parity": {},
    }


def _tensor(value: Any) -> dict[str, Any]:
    onnx = require("onnx", extra="export", purpose="export")
    kind = value.type.tensor_type
    shape = [dim.dim_param or dim.dim_value for dim in kind.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return {"name": value.name, "dtype": dtype, "shape": shape}


def _record(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def _write_manifest(work: Path, manifest: dict[str, Any]) -> None:
    manifest[DIGEST_KEY] = digest_of(manifest)
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    (work / BUNDLE_MANIFEST).write_text(text + "\n", encoding="utf-8")
