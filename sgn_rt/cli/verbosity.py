"""How much a command tells: ``-q`` and ``-v``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import click

from sgn_rt.cli.process import printable

_QUIET = "sgn_rt.quiet"


def verbosity_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``-v``, to be told what happens; ``-q``, to be told nothing but errors and warnings."""

    def louder(context: click.Context, parameter: click.Parameter, count: int) -> None:
        del parameter
        if count:
            follow_log(context, logging.INFO if count == 1 else logging.DEBUG)

    def quieter(context: click.Context, parameter: click.Parameter, quiet: bool) -> None:
        del parameter
        context.meta[_QUIET] = quiet

    for option in (
        click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=quieter,
                     help="Print no tables and no progress."),
        click.option("-v", "--verbose", count=True, expose_value=False, callback=louder,
                     help="Tell on stderr what happens, and why; -vv in detail."),
    ):  # fmt: skip
        command = option(command)
    return command


def follow_log(context: click.Context, level: int) -> None:
    """Print what is logged under ``sgn_rt`` to stderr while a command runs."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = f"sgn-rt: {record.levelname.lower()}: {self.format(record)}"
            click.echo(printable(text), err=True)

    package, handler = logging.getLogger("sgn_rt"), Handler()
    before = package.level
    package.addHandler(handler)
    package.setLevel(level)

    def stop() -> None:
        package.removeHandler(handler)
        package.setLevel(before)

    context.call_on_close(stop)


def is_quiet() -> bool:
    """Whether the command that runs was asked to print no results."""
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(_QUIET, False)
