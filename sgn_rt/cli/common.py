"""What the commands share: options, progress, tables and JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sgn_rt._atomic import write_whole
from sgn_rt.errors import AudioError

engine_option = click.option(
    "--engine", default="auto", show_default=True, metavar="NAME",
    help="auto, tensorrt, tensorrt-rtx, onnxruntime, torch, onnxruntime-cuda, "
    "onnxruntime-tensorrt; "
    "onnxruntime:waveform.fp32 names the graph, too.",
)  # fmt: skip
bundle_option = click.option(
    "--bundle", type=click.Path(path_type=Path), metavar="FOLDER",
    help="Model to use; the one that ships with the package if left out.",
)  # fmt: skip
parity_option = click.option(
    "--parity", type=click.Choice(["fallback", "raise", "off"]), default="fallback",
    show_default=True, help="What to do with an engine that fails its start-up probe.",
)  # fmt: skip
check_option = click.option(
    "--check-every", type=click.IntRange(min=1), metavar="N",
    help="Compute every N-th window once more on the CPU; an engine that differs has failed.",
)  # fmt: skip
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), help="Processors to use; all if left out."
)
json_option = click.option(
    "--json", "json_path", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE",
    help="Also write the result as JSON; - for stdout.",
)  # fmt: skip


def names(text: str | None) -> list[str] | None:
    """Names from a comma-separated option; None where it was left out."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def console(*, err: bool = False) -> Console:
    """A console that never wraps into a file or pipe."""
    stream = sys.stderr if err else sys.stdout
    return Console(
        stderr=err, width=None if stream.isatty() else 160, highlight=False, markup=False
    )


def table(*columns: str, right: str = "") -> Table:
    """An empty table of plain columns, ``right`` the one that is aligned there."""
    made = Table(box=None, pad_edge=False)
    for title in columns:
        made.add_column(
            title, justify="right" if title and title == right else "left", overflow="fold"
        )
    return made


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr for what takes over a second; nothing where it is no terminal."""
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
        console=console(err=True),
        transient=True,
    )
    task = shown.add_task(title, total=1.0)
    began = time.monotonic()
    started = False

    def tell(done: float) -> None:
        nonlocal started
        if not started and sys.stderr.isatty() and time.monotonic() - began > 1.0:
            shown.start()
            started = True
        shown.update(task, completed=done)

    try:
        yield tell
    finally:
        if started:
            shown.stop()


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; ``-`` is stdout.

    Raises
    ------
    AudioError
        If it cannot be written.
    """
    if str(path) == "-":
        click.echo(text, nl=False)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise AudioError(
            f"{path}: got {error.strerror}, expected to write a file there. "
            "Check permissions and free space."
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; ``-`` is stdout."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
