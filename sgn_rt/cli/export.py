"""``sgn-rt export``."""

from __future__ import annotations

from pathlib import Path

import click

from sgn_rt._optional import require
from sgn_rt.cli.common import console, names_option
from sgn_rt.cli.parity import show_stages
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.model.contract import FLOATS, Kind, Precision


@click.command("export")
@click.argument("checkpoint", type=click.Path(path_type=Path))
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
                   "TensorRT with sgn-rt's plugins.")  # fmt: skip
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
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there.")
@verbosity_options
def command(
    checkpoint: Path,
    output: Path,
    precisions: list[Precision],
    kinds: list[Kind],
    key_map: Path | None,
    music: Path | None,
    calibration: tuple[Path, ...],
    name: str | None,
    licence: str,
    shared_weights: bool,
    overwrite: bool,
) -> None:
    """Export a trained checkpoint to a bundle of ONNX graphs.

    Every graph is compared with the PyTorch reference, stage by stage; nothing is written if one is
    beyond its limit.
    """
    for module in ("torch", "onnx", "onnxscript", "onnxruntime"):
        require(module, extra="export", purpose="sgn-rt export")
    from sgn_rt.export.writer import export_bundle

    progress = console(err=True)
    with progress.status("loading") as status:

        def tell(line: str) -> None:
            status.update(line)
            if not progress.is_terminal:
                progress.print(line)

        measured = export_bundle(
            checkpoint, output, kinds=kinds, precisions=precisions, key_map=key_map, music=music,
            calibration=calibration, name=name, licence=licence,
            shared_weights=shared_weights, overwrite=overwrite, tell=tell,
        )  # fmt: skip
    show_stages(measured)
    size = sum(path.stat().st_size for path in output.iterdir())
    console().print(f"{output}: {', '.join(measured)}, {size / 1e6:.0f} MB")
