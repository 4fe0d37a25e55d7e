"""Which GPUs: a number, several, or all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

from sgn_rt.audio.limits import is_whole
from sgn_rt.errors import ConfigError
from sgn_rt.tensorrt.device.cuda_python import count_devices

ALL: Final[Literal["all"]] = "all"
Devices: TypeAlias = int | Literal["all"] | Sequence[int] | None
"""Numbers of GPUs as CUDA counts them; None for the one that is current in the thread."""


def checked_devices(device: Devices) -> tuple[int, ...] | None:
    """Numbers of the GPUs meant; None where it is left open.

    Raises
    ------
    ConfigError
        If it is no such thing.
    DependencyError, EngineError
        If all are meant, and they cannot be counted, or there are none.
    """
    if device is None:
        return None
    if device == ALL:
        return tuple(range(count_devices()))
    numbers: list[Any] = list(device) if isinstance(device, list | tuple) else [device]
    if not numbers or not all(is_whole(number) and number >= 0 for number in numbers):
        raise ConfigError(
            f"device: got {device!r:.60}, expected the number of a GPU, several of them, or "
            f"{ALL!r}. The first is 0."
        )
    if len(set(numbers)) < len(numbers):
        raise ConfigError(f"device: got {device!r:.60}, expected each GPU once. Name it once.")
    return tuple(int(number) for number in numbers)
