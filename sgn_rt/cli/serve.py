"""``sgn-rt serve``: a server of one model."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Any, Literal, get_args

import click

from sgn_rt.cli.common import check_option, engine_option, parity_option, threads_option
from sgn_rt.cli.devices import device_option
from sgn_rt.cli.process import Terminated, say
from sgn_rt.cli.verbosity import follow_log, verbosity_options
from sgn_rt.engines.devices import Devices
from sgn_rt.errors import ConfigError
from sgn_rt.separator import Separator
from sgn_rt.serving.server.options import MIB, ServerOptions
from sgn_rt.streaming.hub.overload import Overload

TOKEN_VARIABLE = "SGN_RT_TOKEN"


@click.command("serve")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Where to listen; what is not loopback needs --token.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True,
              help="0 for any that is free; it is printed.")  # fmt: skip
@click.option("--token", help=f"What clients have to name; better in ${TOKEN_VARIABLE} or a file.")
@click.option("--token-file", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="A file that holds the token.")  # fmt: skip
@click.option("--behind-proxy", is_flag=True, help="A proxy decides who may come.")
@click.option("--max-upload", type=click.FloatRange(min=0, min_open=True), default=512.0,
              show_default=True, metavar="MIB", help="Largest file.")  # fmt: skip
@click.option("--max-seconds", type=click.FloatRange(min=0, min_open=True), default=3600.0,
              show_default=True, metavar="SECONDS", help="Longest recording.")  # fmt: skip
@click.option("--max-channels", type=click.IntRange(1, 1024), default=8, show_default=True,
              help="Most channels.")  # fmt: skip
@click.option("--time-limit", type=click.FloatRange(min=0, min_open=True), default=900.0,
              show_default=True, metavar="SECONDS",
              help="From a request to the beginning of its answer.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True,
              help="Recordings side by side.")  # fmt: skip
@click.option("--queue", type=click.IntRange(min=0), default=8, show_default=True,
              help="Recordings that may wait.")  # fmt: skip
@click.option("--max-streams", type=click.IntRange(min=0), default=16, show_default=True,
              help="Live streams at a time.")  # fmt: skip
@click.option("--deadline", type=click.FloatRange(min=0, min_open=True), default=0.2,
              show_default=True, metavar="SECONDS",
              help="Beyond its latency, until a live stream is late.")  # fmt: skip
@click.option("--overload", type=click.Choice(get_args(Overload)),
              default="refuse", show_default=True, help="What live streams get then.")  # fmt: skip
@click.option("--drain", type=click.FloatRange(min=0), default=30.0, show_default=True,
              metavar="SECONDS", help="What work gets to end by itself after SIGTERM.")  # fmt: skip
@click.option("--spool", type=click.Path(path_type=Path), metavar="FOLDER",
              help="For uploads and stems on their way; the system's if left out.")  # fmt: skip
@engine_option
@parity_option
@check_option
@device_option
@threads_option
@verbosity_options
def command(
    bundle: Path | None,
    token: str | None,
    token_file: Path | None,
    max_upload: float,
    time_limit: float,
    deadline: float,
    drain: float,
    spool: Path | None,
    engine: str,
    parity: Literal["fallback", "raise", "off"],
    check_every: int | None,
    device: Devices,
    threads: int | None,
    **rest: Any,
) -> int:
    """Serve a model over HTTP: files at /separate, live streams at /stream, a page at /.

    It takes work when its engine is open and proved, as /readyz tells; figures for Prometheus are
    at /metrics, the interface at /openapi.json. SIGTERM drains: what runs may end, then it exits.
    """
    if spool is not None:
        rest["spool"] = spool
    from sgn_rt.serving.server.app import Server, require_packages
    from sgn_rt.serving.server.run import address_of, listening, serve

    require_packages()
    if not logging.getLogger("sgn_rt").isEnabledFor(logging.INFO):  # -v has not asked for more
        follow_log(click.get_current_context(), logging.WARNING)
    options = ServerOptions(
        token=_token(token, token_file),
        max_upload=max(1, round(max_upload * MIB)),
        time_limit_s=time_limit,
        deadline_s=deadline,
        drain_s=drain,
        **rest,
    )

    def opened() -> Separator:
        return Separator.open(
            bundle, engine, parity, threads=threads, check_every=check_every, device=device
        )

    server = Server(opened, options)
    with listening(options) as listener:
        click.echo(f"sgn-rt: listening on {address_of(listener)}")
        ended_by = asyncio.run(serve(server, options, listener))
    if not server.is_over:  # Python would wait for its threads
        say("warning", "the engine does not end: left as it is")
        sys.stdout.flush()
        os._exit(0 if ended_by is None else 128 + ended_by)
    if ended_by is not None:
        raise Terminated(ended_by)
    return 0


def _token(given: str | None, file: Path | None) -> str | None:
    """The token, from wherever it is."""
    found = [each for each in (given, os.environ.get(TOKEN_VARIABLE)) if each]
    if file is not None:
        found.append(file.read_text(encoding="utf-8").strip())
    if len(set(found)) > 1:
        raise ConfigError(
            f"token: got several, expected one of --token, --token-file and ${TOKEN_VARIABLE}. "
            "Leave the others out."
        )
    return found[0] if found else None
