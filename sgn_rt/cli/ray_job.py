"""``sgn-rt ray-job``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from sgn_rt.cli import separate
from sgn_rt.cli.common import names_option
from sgn_rt.errors import ConfigError
from sgn_rt.serving.cluster.job import Job, put_wheel

_CLUSTER = ("--ray", "auto")
"""What a job on a cluster says of where it is to run."""


@click.command("ray-job", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="ARGUMENT...")
@click.option("--address", default="http://127.0.0.1:8265", envvar="RAY_ADDRESS", metavar="URL",
              help="The cluster's dashboard; $RAY_ADDRESS, or this machine's.")  # fmt: skip
@click.option("--submit", is_flag=True, help="Submit it, and follow it; else its line is printed.")
@click.option("--wheel", type=click.Path(path_type=Path), metavar="FILE",
              help="Wheel of sgn-rt; built from the sources if left out.")  # fmt: skip
@click.option("--working-dir", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Where the wheel is put, to be sent to the cluster; with --submit, a temporary "
              "folder if left out, else ./sgn-rt-job.")  # fmt: skip
@names_option("--extras", metavar="A,B", default=["cpu"], show_default=True,
              help="Of sgn-rt, that nodes install: cpu, gpu, tensorrt, media, ...")  # fmt: skip
def command(
    arguments: Sequence[str],
    address: str,
    submit: bool,
    wheel: Path | None,
    working_dir: Path | None,
    extras: list[str],
) -> int:
    """Print, or submit, a job that separates recordings on a Ray cluster.

    Everything else is as for `sgn-rt separate`, which the job runs on the cluster. Paths are those
    of its nodes: absolute, on storage that all of them share. The exit code of --submit is the
    job's.
    """
    _expect_arguments(arguments)
    with ExitStack() as stack:
        if working_dir is None and submit:
            temporary = tempfile.TemporaryDirectory(prefix="sgn-rt-job-")
            working_dir = Path(stack.enter_context(temporary))
        folder = Path(os.path.abspath(working_dir or "sgn-rt-job"))
        job = Job(
            address=address,
            folder=folder,
            wheel=put_wheel(folder, wheel),
            extras=extras,
            arguments=("separate", *arguments, *(() if _names_cluster(arguments) else _CLUSTER)),
        )
        if submit:
            return job.submit()
        click.echo(job.line)
        return 0


def _names_cluster(arguments: Sequence[str]) -> bool:
    return any(each == "--ray" or each.startswith("--ray=") for each in arguments)


def _expect_arguments(arguments: Sequence[str]) -> None:
    """Refuse what `separate` would, as far as that can be told here.

    Raises
    ------
    ConfigError
        For a path that is not absolute: it would lead elsewhere on the cluster.
    click.UsageError
        For an option that there is not, or one that is missing.
    """
    wanted = separate.command
    context = click.Context(wanted, info_name="sgn-rt separate")
    given, rest, _ = wanted.make_parser(context).parse_args(list(arguments))
    if rest:
        raise click.UsageError(f"Got unexpected arguments ({' '.join(rest)}).")
    for parameter in wanted.params:
        value: Any = given.get(parameter.name or "")
        values = value if isinstance(value, list | tuple) else [value]
        texts = [text for text in values if isinstance(text, str)]
        if parameter.required and not texts:
            raise click.MissingParameter(ctx=context, param=parameter)
        for path in texts if isinstance(parameter.type, click.Path) else ():
            if path != "-" and not os.path.isabs(path):
                raise ConfigError(
                    f"{parameter.opts[0]}: got {path}, expected an absolute path. Name it as the "
                    "nodes of the cluster see it."
                )
