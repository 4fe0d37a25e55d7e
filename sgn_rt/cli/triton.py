"""``sgn-rt triton``."""

from __future__ import annotations

from pathlib import Path

import click

from sgn_rt.cli.common import console, engine_option, names_option
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.model.bundle import Bundle
from sgn_rt.serving.triton.configs import Serving
from sgn_rt.serving.triton.repository import Part, write_repository

_DEFAULT = Serving()


@click.command("triton")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="MODELS",
              help="Folder to write; it appears whole, or not at all.")  # fmt: skip
@names_option("--models", "parts", members=Part, metavar="A,B",
              help="windows, live (Python backend), onnx, tensorrt; all that the bundle has if "
                   "left out.")  # fmt: skip
@engine_option
@click.option("--threads", type=click.IntRange(min=1),
              help="Processors of an instance of windows or live; all if left out.")  # fmt: skip
@click.option("--instances", type=click.IntRange(min=1), default=_DEFAULT.instances,
              show_default=True, help="Of each model; on each GPU where it is one.")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1), default=_DEFAULT.batch, show_default=True,
              help="Windows in a call, at most; a TensorRT engine has its own.")  # fmt: skip
@click.option("--slots", type=click.IntRange(min=1), default=_DEFAULT.slots, show_default=True,
              help="Live streams of an instance; more of them wait.")  # fmt: skip
@click.option("--idle", type=click.FloatRange(min=0.1), default=_DEFAULT.idle_s, show_default=True,
              metavar="S", help="A live stream is given up after so long idle.")  # fmt: skip
@click.option("--delay", type=click.IntRange(min=0), default=_DEFAULT.delay_us, show_default=True,
              metavar="US", help="How long a window waits for others, microseconds.")  # fmt: skip
@click.option("--plugin-library", type=click.Path(path_type=Path), metavar="FILE",
              help="The plugin library that registers itself, for TensorRT engines that have "
                   "plugins.")  # fmt: skip
@click.option("--overwrite", is_flag=True,
              help="Replace what this command wrote there, if nobody has changed it.")  # fmt: skip
@verbosity_options
def command(
    bundle: Path,
    output: Path,
    parts: list[Part] | None,
    engine: str,
    threads: int | None,
    instances: int,
    batch: int,
    slots: int,
    idle: float,
    delay: int,
    plugin_library: Path | None,
    overwrite: bool,
) -> None:
    """Write a model repository for Triton Inference Server, with the line that serves it."""
    serving = Serving(
        engine=engine,
        threads=threads or 0,
        instances=instances,
        batch=batch,
        slots=slots,
        idle_s=idle,
        delay_us=delay,
    )
    names = write_repository(
        Bundle.open(bundle),
        output,
        parts=parts,
        serving=serving,
        plugins=plugin_library,
        overwrite=overwrite,
    )
    console().print(f"{output}: {', '.join(names)}; how to serve them is in its README.md")
