"""``--ray``: where a command has its recordings separated by a cluster."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import click

from sgn_rt.errors import ConfigError
from sgn_rt.serving.cluster.plan import Pool
from sgn_rt.serving.cluster.run import Cluster
from sgn_rt.serving.cluster.session import LOCAL

_ADDRESS: Final = re.compile(r"local|auto|[^/\\s]+:\d+")


def _address(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    del context, parameter
    if text is not None and not _ADDRESS.fullmatch(text):
        raise ConfigError(
            f"--ray: got {text!r:.60}, expected local, auto or the address of a cluster, as "
            "head:6379. Write --ray=local, or put --ray last, to start one on this machine."
        )
    return text


def _pool(context: click.Context, parameter: click.Parameter, text: str | None) -> Pool | None:
    del context, parameter
    return None if text is None else Pool.parse(text)


def ray_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--ray`` and what belongs to it; the command gives them to `cluster_of`."""
    for option in (
        click.option("--cpus-per-actor", type=click.IntRange(min=1), metavar="N",
                     help="Of --ray: processors of each engine; 1, or 4 beside a GPU, if left "
                     "out."),
        click.option("--ray-actors", callback=_pool, metavar="N|MIN-MAX",
                     help="Of --ray: how many engines; from 1 to as many as fit if left out."),
        click.option("--ray", "ray_address", is_flag=False, flag_value=LOCAL, callback=_address,
                     metavar="[ADDRESS]",
                     help="Separate on a Ray cluster, an engine on each GPU or on some processors: "
                     "auto for the one that this machine belongs to, or its address; one of this "
                     "machine alone, for as long as it takes, without."),
    ):  # fmt: skip
        command = option(command)
    return command


def cluster_of(
    ray_address: str | None, ray_actors: Pool | None, cpus_per_actor: int | None,
    **elsewhere: object,
) -> Cluster | None:  # fmt: skip
    """Where to separate; None for here.

    Parameters
    ----------
    ray_address, ray_actors, cpus_per_actor
        Of `ray_options`.
    elsewhere
        Options, by name, that say how to separate here.

    Raises
    ------
    ConfigError
        For options that do not go together.
    """
    if ray_address is None:
        if ray_actors is not None or cpus_per_actor is not None:
            raise ConfigError(
                "--ray-actors and --cpus-per-actor: got one of them without --ray, expected both "
                "with it alone. Add --ray, or leave it out."
            )
        return None
    for name, value in elsewhere.items():
        if value is not None:
            raise ConfigError(
                f"--{name}: got {value!r:.60} with --ray, expected none, as Ray chooses. Say "
                "--ray-actors and --cpus-per-actor, or leave it out."
            )
    return Cluster(address=ray_address, pool=ray_actors or Pool(), cpus=cpus_per_actor)
