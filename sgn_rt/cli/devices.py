"""``--device``: which GPUs a command's engines run on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import click

from sgn_rt.engines.devices import ALL, Devices
from sgn_rt.engines.factory import runs_on_gpu
from sgn_rt.errors import ConfigError


def _parse(context: click.Context, parameter: click.Parameter, text: str | None) -> Devices:
    del context, parameter
    if text is None:
        return None
    if text == ALL:
        return ALL
    numbers = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in numbers):
        raise ConfigError(
            f"--device: got {text!r:.60}, expected the number of a GPU, several separated by "
            f"commas, or {ALL}. The first is 0."
        )
    found = [int(part) for part in numbers]
    return found[0] if len(found) == 1 else found


device_option = click.option(
    "--device", callback=_parse, metavar="N|N,M|all",
    help="Number of the GPU, or several: an engine on each, and windows go to whichever is free. "
    "The one in use if left out.",
)  # fmt: skip


class Placed(NamedTuple):
    """An engine on a GPU, or on whatever is in use.

    Attributes
    ----------
    title
        For people.
    spec, device
        As `sgn_rt.engines.factory.open_engine` takes them.
    """

    title: str
    spec: str
    device: int | None


def expect_use(device: Devices, specs: Iterable[str]) -> None:
    """Refuse a GPU where nothing would run on it: what is then looked at is the CPU alone.

    Raises
    ------
    ConfigError
        If one is named, and no engine is a GPU's.
    """
    found = list(specs)
    if device is not None and not any(map(runs_on_gpu, found)):
        raise ConfigError(
            f"--device: got {device!r:.60} for {', '.join(found)}, which run on the CPU, expected "
            "an engine of a GPU. Name it with --engine, or leave the device out."
        )


def placed(specs: Iterable[str], devices: Sequence[int] | None) -> Iterator[Placed]:
    """Each engine of a GPU once on each of some GPUs, the CPU's as they are."""
    for spec in specs:
        if devices is None or not runs_on_gpu(spec):
            yield Placed(spec, spec, None)
        else:
            yield from (Placed(f"{spec} on GPU {number}", spec, number) for number in devices)
