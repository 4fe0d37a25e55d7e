"""What the commands share: options, progress, tables and JSON."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sgn_rt._atomic import is_written_in_place, write_named
from sgn_rt.cli.process import bar_shown, make_way, printable
from sgn_rt.cli.verbosity import is_quiet
from sgn_rt.errors import AudioError, CategoryError, ConfigError, SgnError

_DRAWN_EVERY_S: Final = 0.1
"""From one drawing of a bar to the next."""
_NOT_TEXT: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plain(text: str) -> str:
    """Without what XML and terminals do not take: control characters, bytes that are no text."""
    return _NOT_TEXT.sub("\ufffd", text)


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


def output_option(
    *declarations: str, checked: bool = True, **settings: Any
) -> Callable[[Any], Any]:
    """An option that names a file to write; one that cannot be is refused before any work.

    Not ``checked`` is for a command that writes several, so that one of them cannot keep it from
    the others: it is to refuse.
    """

    def parse(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
        del context, parameter
        if checked and path is not None and str(path) != "-":
            expect_file(path)
        return path

    kind = click.Path(path_type=Path, allow_dash=True)
    return click.option(*declarations, type=kind, metavar="FILE", callback=parse, **settings)


json_option = output_option(
    "--json", "json_path", help="Also write the result as JSON; - for stdout."
)


def names_option(
    *declarations: str,
    members: type[StrEnum] | None = None,
    error: type[SgnError] = ConfigError,
    **settings: Any,
) -> Callable[[Any], Any]:
    """An option that takes names separated by commas, and may be repeated: all of them count.

    The command gets a list of them, of ``members`` where given; None where the option was left out
    and has no default. One without a name, an unknown member and one named twice are an error.
    """

    def parse(context: click.Context, parameter: click.Parameter, given: Sequence[str]) -> Any:
        del context
        option = parameter.opts[0]
        found: list[str] = []
        for text in given:
            names = [name.strip() for name in text.split(",") if name.strip()]
            if not names:
                raise error(
                    f"{option}: got {text!r}, expected at least one name. Name some, separated by "
                    "commas, or leave the option out."
                )
            found += names
        for name in found:
            if members is not None and name not in tuple(members):
                raise error(
                    f"{option}: got {name!r}, expected a list from {', '.join(members)}. "
                    "Separate them by commas."
                )
            if found.count(name) > 1:
                raise error(f"{option}: got {name!r} twice, expected it once. Name it once.")
        if not found:
            return None
        return found if members is None else [members(name) for name in found]

    return click.option(*declarations, multiple=True, callback=parse, **settings)


def categories_option(help: str, **settings: Any) -> Callable[[Any], Any]:  # noqa: A002 - as click
    """``--categories A,B``, a list of names; None where it was left out."""
    return names_option("--categories", metavar="A,B", help=help, error=CategoryError, **settings)


class _Console(Console):
    """Prints what is `printable` of texts; tables see to theirs."""

    def print(self, *objects: Any, **options: Any) -> None:
        if not self.stderr:  # whereon bars are drawn, by this very method
            make_way()
        super().print(
            *(printable(each) if isinstance(each, str) else each for each in objects), **options
        )


def console(*, err: bool = False) -> Console:
    """A console that never wraps into a file or pipe."""
    stream = sys.stderr if err else sys.stdout
    return _Console(
        stderr=err,
        width=None if stream.isatty() else 160,
        highlight=False,
        markup=False,
        quiet=is_quiet(),
    )


class _Table(Table):
    """Shows what is `printable` of its cells."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        super().add_row(
            *(printable(cell) if isinstance(cell, str) else cell for cell in cells), **options
        )


def table(*columns: str, right: str = "") -> Table:
    """An empty table of plain columns, ``right`` the one that is aligned there."""
    made = _Table(box=None, pad_edge=False)
    for title in columns:
        made.add_column(
            title, justify="right" if title and title == right else "left", overflow="fold"
        )
    return made


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr for what takes over a second; nothing where it is no terminal.

    What it gives takes the part that is done, 0 to 1, and, where that changes, the title.
    """
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
        console=console(err=True),
        transient=True,
        auto_refresh=False,  # or it would be drawn into what is printed meanwhile
        redirect_stdout=False,  # who prints makes way: `make_way`
        redirect_stderr=False,
    )
    task = shown.add_task(printable(title), total=1.0)
    began = drawn = time.monotonic()
    stack, wanted = ExitStack(), sys.stderr.isatty() and not is_quiet()

    def tell(done: float, title: str | None = None) -> None:
        nonlocal wanted, drawn
        now = time.monotonic()
        if wanted and now - began > 1.0:
            wanted = False
            stack.enter_context(bar_shown())
            stack.callback(shown.stop)
            shown.start()
        named = None if title is None else printable(title)
        due = now - drawn > _DRAWN_EVERY_S
        shown.update(task, completed=done, description=named, refresh=due)
        drawn = now if due else drawn

    try:
        yield tell
    finally:
        with suppress(OSError):  # a terminal that was hung up, perhaps the reason to stop
            stack.close()


def expect_file(path: Path) -> None:
    """Find out before any work whether a file can be written where the user wants it.

    Raises
    ------
    AudioError
        If it cannot.
    """
    with writing_file(path):
        if path.is_dir():
            raise OSError("a folder")
        if path.exists() and not os.access(path, os.W_OK):
            raise OSError("no permission to write to it")
        if is_written_in_place(path):
            return
        folder = path.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise OSError(f"something at {folder} that is no folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(f"no permission to write in {folder}")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; ``-`` is stdout.

    What is no UTF-8, as some names of files, becomes an escape, which JSON knows.

    Raises
    ------
    AudioError
        If it cannot be written.
    """
    if str(path) == "-":
        click.echo(text, nl=False)
        return
    with writing_file(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_named(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; ``-`` is stdout, in ASCII, which every terminal takes."""
    to_stdout = str(path) == "-"
    text = json.dumps(value, indent=2, ensure_ascii=to_stdout, allow_nan=False)
    write_text(path, text + "\n")


@contextmanager
def writing_file(path: Path) -> Iterator[None]:
    """Make errors of the system an AudioError that says what they kept from."""
    try:
        yield
    except OSError as error:
        raise AudioError(
            f"{path}: got {error.strerror or error}, expected to write a file there. "
            "Check the name, permissions and free space."
        ) from error
