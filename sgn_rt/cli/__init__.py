"""The command line, ``sgn-rt``. A command's module is loaded when it runs: each starts fast."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

import click

from sgn_rt import __version__
from sgn_rt.cli.process import (
    Terminated,
    expect_streams,
    forget_stdout,
    say,
    unwinding_signals,
)
from sgn_rt.errors import SgnError, SgnWarning

COMMANDS = {
    "separate": "One file per category from each recording.",
    "ray-job": "Print or submit a job that separates on a Ray cluster.",
    "explain": "Show why a model hears what it hears in a recording.",
    "stream": "Separate raw PCM from stdin to stdout, live.",
    "serve": "Serve files and live streams over HTTP.",
    "export": "Export a checkpoint to a bundle.",
    "build": "Build TensorRT engines into a bundle.",
    "plugins": "Build or find the library of TensorRT plugins.",
    "triton": "Write a model repository for Triton Inference Server.",
    "portability": "Compare graphs in whatever else reads ONNX.",
    "parity": "Compare a bundle's engines with the reference.",
    "bench": "Time the engines side by side.",
    "evaluate": "Evaluate a model on data, by a published protocol.",
    "info": "Show what is in a bundle.",
    "doctor": "Show what this machine can run, proved by running it.",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(
            f"sgn_rt.cli.{cmd_name.replace('-', '_')}"
        ).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sgn-rt")
def cli() -> None:
    """Separate a recording into one sound per category with a trained SGN."""


def _show_warning(
    message: Warning | str, category: type[Warning], *details: Any, **more: Any
) -> None:
    del details, more
    if issubclass(category, SgnWarning):
        say("warning", str(message))


def main() -> None:
    """Run ``sgn-rt`` and exit.

    With 0; 1, where a check did not hold; 2, after an error; 130, 143 or 129, where it was
    interrupted, terminated or its terminal hung up.
    """
    warnings.showwarning = _show_warning
    try:
        expect_streams()
        with unwinding_signals():
            code = cli.main(standalone_mode=False)
            sys.stdout.flush()
    except SgnError as error:
        say("error", str(error))
        code = 2
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("error", "interrupted")
        code = 130
    except Terminated as error:
        say("error", f"ended by {error}")
        code = 128 + error.number
    except BrokenPipeError:  # the reader has gone
        forget_stdout()
        code = 1
    except OSError as error:
        if error.filename is not None:
            raise
        say("error", f"stdout: got {error.strerror or error}, expected to write the result there. "
            "Check free space, or send it elsewhere.")  # fmt: skip
        forget_stdout()
        code = 2
    sys.exit(code if isinstance(code, int) else 0)
