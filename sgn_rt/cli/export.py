"""``sgn-rt export``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sgn_rt._optional import require
from sgn_rt.cli.common import console, names_option
from sgn_rt.cli.parity import show_stages
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.errors import ConfigError
from sgn_rt.model.contract import FLOATS, WHOLE_KINDS, Kind, Precision


@click.command("export")
@click.argument("checkpoint", type=click.Path(path_type=Path), required=False)
@click.option("--module", "spec", metavar="PACKAGE.FILE:FACTORY",
              help="A network of your own: a function that takes the checkpoint's path and gives "
                   "(torch.nn.Module, dict). Its code is run.")  # fmt: skip
@click.option("--checkpoint", "given", type=click.Path(path_type=Path), metavar="FILE",
              help="What the factory of --module is given.")  # fmt: skip
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="BUNDLE",
              help="Folder to write; it appears whole, or not at all.")  # fmt: skip
@names_option("--precision", "precisions", members=Precision, default=[",".join(FLOATS)],
              show_default=True, metavar="P,Q",
              help="Number formats of the graphs; int8 is of core and plugin alone.")  # fmt: skip
@names_option("--kind", "kinds", members=Kind, default=[",".join(Kind)], show_default=True,
              metavar="K,L",
              help="Graphs: core (log-magnitude to what masks are made of) with masks (of the "
                   "categories chosen), waveform (mixture to sources), plugin (mixture to what "
                   "sources are made of) with synthesis (sources of the categories chosen), for "
                   "TensorRT with sgn-rt's plugins. Of a --module: core, waveform and plugin, "
                   "each whole.")  # fmt: skip
@click.option("--key-map", type=click.Path(path_type=Path), metavar="FILE",
              help="TOML file that renames the tensors of other training code.")  # fmt: skip
@click.option("--music", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Mixtures with stems to prove parity on; default: those shipped.")  # fmt: skip
@click.option("--calibration", type=click.Path(path_type=Path), multiple=True, metavar="FILE",
              help="Recording to calibrate int8 on; several are allowed. Default: the music "
                   "that ships.")  # fmt: skip
@click.option("--name", help="Of the model, written down; the checkpoint's file name if left out.")
@click.option(
    "--licence", default="unspecified", help="Licence of the weights (SPDX), written down."
)
@click.option("--shared-weights", is_flag=True,
              help="float32 graphs refer to the checkpoint in the bundle.")  # fmt: skip
@click.option(
    "--assignment",
    is_flag=True,
    help="core also gives what each category claims: explain needs no PyTorch then.",
)
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there.")
@verbosity_options
def command(
    checkpoint: Path | None,
    spec: str | None,
    given: Path | None,
    output: Path,
    precisions: list[Precision],
    kinds: list[Kind],
    key_map: Path | None,
    music: Path | None,
    calibration: tuple[Path, ...],
    name: str | None,
    licence: str,
    shared_weights: bool,
    assignment: bool,
    overwrite: bool,
) -> None:
    """Export a trained checkpoint, or a network of your own, to a bundle of ONNX graphs.

    Every graph is compared with the PyTorch reference, stage by stage; nothing is written if one is
    beyond its limit.
    """
    path = _checkpoint(checkpoint, spec, given)
    if spec is not None:
        _expect_options_of_modules(key_map, calibration, shared_weights, assignment)
        kinds = _kinds_of_modules(kinds)
    for module in ("torch", "onnx", "onnxscript", "onnxruntime"):
        require(module, extra="export", purpose="sgn-rt export")
    from sgn_rt.export.writer import export_bundle, export_module_bundle

    progress = console(err=True)
    with progress.status("loading") as status:

        def tell(line: str) -> None:
            status.update(line)
            if not progress.is_terminal:
                progress.print(line)

        common: dict[str, Any] = {
            "kinds": kinds, "precisions": precisions, "music": music, "name": name,
            "licence": licence, "overwrite": overwrite, "tell": tell,
        }  # fmt: skip
        if spec is not None:
            measured = export_module_bundle(spec, path, output, **common)
        else:
            measured = export_bundle(
                path, output, key_map=key_map, calibration=calibration,
                shared_weights=shared_weights, assignment=assignment, **common,
            )  # fmt: skip
    show_stages(measured)
    size = sum(path.stat().st_size for path in output.iterdir())
    console().print(f"{output}: {', '.join(measured)}, {size / 1e6:.0f} MB")


def _checkpoint(argument: Path | None, spec: str | None, option: Path | None) -> Path:
    """The one that is named, in the place that is meant for it."""
    path = option if spec is not None else argument
    other = argument if spec is not None else option
    if path is None or other is not None:
        form = "--checkpoint FILE beside --module" if spec else "CHECKPOINT alone"
        got = " and ".join(
            name
            for name, value in (("CHECKPOINT", argument), ("--checkpoint", option))
            if value is not None
        )
        raise ConfigError(
            f"checkpoint: got {got or 'none'}, expected {form}. See `sgn-rt export --help`."
        )
    return path


def _expect_options_of_modules(
    key_map: Path | None, calibration: Sequence[Path], shared_weights: bool, assignment: bool
) -> None:
    options = {
        "--key-map": key_map is not None,
        "--calibration": bool(calibration),
        "--shared-weights": shared_weights,
        "--assignment": assignment,
    }
    wrong = [name for name, is_given in options.items() if is_given]
    if wrong:
        raise ConfigError(
            f"export: got {', '.join(wrong)} beside --module, expected none of it: it is of "
            "checkpoints that sgn-rt reads itself. Leave it out."
        )


def _kinds_of_modules(kinds: list[Kind]) -> list[Kind]:
    """All that there are, where all of SGN's are meant; `core` and such as they are named."""
    return list(WHOLE_KINDS) if set(kinds) == set(Kind) else kinds
