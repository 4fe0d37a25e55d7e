"""A connection to Ray: to a cluster that is there, or to one of this machine alone."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

from sgn_rt._optional import require
from sgn_rt._processors import available_cpus
from sgn_rt.engines.base import first_line
from sgn_rt.errors import EngineError

log = logging.getLogger(__name__)

LOCAL: Final = "local"
"""Address of a Ray of this machine alone, started and ended here."""

_OBJECT_STORE: Final = 100 * 2**20
"""Bytes of shared memory: rows alone travel. Ray wants about 80 MB at least."""


_SETTINGS: Final = {"RAY_USAGE_STATS_ENABLED": "0"}
"""Of Ray, read when it starts, where the user says nothing else: no telemetry."""


def load_ray() -> ModuleType:
    """Ray, with Ray Data.

    Raises
    ------
    DependencyError
        If it is not installed.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    require("ray.data", extra="ray", purpose="a cluster")
    return require("ray", extra="ray", purpose="a cluster")


@contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """Ray, connected, and quiet; let go at the end, and only what was begun here is ended.

    Parameters
    ----------
    address
        `LOCAL`, ``auto`` for the cluster that this machine belongs to, or one's address. A
        connection that the process has is used, whatever the address.

    Raises
    ------
    DependencyError
        If Ray is not installed.
    EngineError
        If there is no such cluster, or it does not let us in.
    """
    ray = load_ray()
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        options |= {
            "num_cpus": available_cpus(),
            "object_store_memory": _OBJECT_STORE,
            "include_dashboard": False,
        }
    with _quiet(ray):
        yield from _initialised(ray, address, options)


def _initialised(ray: ModuleType, address: str, options: Mapping[str, Any]) -> Iterator[ModuleType]:
    try:
        with _own_signals():
            ray.init(address=address, **options)
    except Exception as error:  # of many kinds: connection, versions, authentication
        ray.shutdown()
        raise EngineError(
            f"Ray at {address!r}: got {type(error).__name__}: {first_line(error)}, expected a "
            "cluster to connect to. Check the address; a cluster with tokens wants "
            "RAY_AUTH_MODE=token."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of signals as they are: Ray puts its own in their place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:
                signal.signal(number, handler)


@contextmanager
def _quiet(ray: ModuleType) -> Iterator[None]:
    """Keep what Ray says from stdout, where results go, and from stderr, but for ``-v``.

    Its warnings of lost workers and nodes go to stdout whatever `init` is told, and can be had by
    no public means; where this version of it has them elsewhere, they stay where they are.
    """
    worker = ray._private.worker
    printed = getattr(worker, "print_to_stdstream", None)
    terminals = [
        handler
        for handler in logging.getLogger("ray.data").handlers
        if isinstance(handler, logging.StreamHandler)
        and not isinstance(handler, logging.FileHandler)
        and not log.isEnabledFor(logging.INFO)
    ]
    levels = [handler.level for handler in terminals]
    for handler in terminals:
        handler.setLevel(logging.CRITICAL + 1)
    if printed is not None:
        worker.print_to_stdstream = _log_lines
    try:
        yield
    finally:
        if printed is not None:
            worker.print_to_stdstream = printed
        for handler, level in zip(terminals, levels, strict=True):
            handler.setLevel(level)


def _log_lines(batch: Mapping[str, Any], *arguments: Any, **options: Any) -> None:
    del arguments, options
    for line in batch.get("lines", ()):
        log.info("Ray: %s", line)
