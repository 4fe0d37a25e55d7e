"""``sgn-rt plugins``."""

from __future__ import annotations

from pathlib import Path

import click

from sgn_rt.tensorrt.plugins.build import build_library
from sgn_rt.tensorrt.plugins.find import find_library, library_version


@click.group("plugins")
def command() -> None:
    """Build or find the library of TensorRT plugins."""


@command.command("build")
@click.option("--tensorrt-include", type=click.Path(path_type=Path), metavar="FOLDER",
              help="TensorRT's headers; looked for if left out.")  # fmt: skip
@click.option("--architectures", metavar="LIST",
              help="As CMake's, e.g. 89 or native; every supported one if left out.")  # fmt: skip
@click.option("--force", is_flag=True, help="Build even if it is there.")
def build(tensorrt_include: Path | None, architectures: str | None, force: bool) -> None:
    """Build the library into the user's cache, if it is not there; needs nvcc and cmake."""
    click.echo(
        build_library(tensorrt_include=tensorrt_include, architectures=architectures, force=force)
    )


@command.command("find")
def find() -> None:
    """Show the library that engines would load, and its version."""
    library = find_library()
    click.echo(f"{library} {library_version(library)}")
