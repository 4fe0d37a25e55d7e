"""Engines that are on a device already: a second separator takes the same, not the same again."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Final

from sgn_rt.tensorrt.bindings import TensorRT
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.run.runtime import LoadedEngine
from sgn_rt.tensorrt.sidecar import Sidecar

_Key = tuple[object, ...]
_loaded: Final[weakref.WeakValueDictionary[_Key, LoadedEngine]] = weakref.WeakValueDictionary()
_locks: Final[dict[_Key, threading.Lock]] = {}
_lock: Final = threading.Lock()


def lock_of(device: Device) -> threading.Lock:
    """What is held on a device where one call breaks another (`LoadedEngine.lock`)."""
    with _lock:
        return _locks.setdefault((device.layer, device.dlpack_device), threading.Lock())


def shared(
    trt: TensorRT, device: Device, sidecar: Sidecar, load: Callable[[], LoadedEngine]
) -> LoadedEngine:
    """An engine that is loaded, by whomever; ``load`` loads it where it is not.

    Its memory is freed when the last who uses it has ended.
    """
    key = (trt.flavor, trt.version, device.layer, device.dlpack_device, sidecar.sha256)
    with _lock:
        found = _loaded.get(key)
    if found is not None:
        return found
    made = load()
    with _lock:
        return _loaded.setdefault(key, made)
