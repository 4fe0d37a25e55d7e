"""Checks for `test_runner`, which another process imports: some of them end it."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace

from sgn_rt.checks.check import Check, Group, Part
from sgn_rt.errors import EngineError


def _open(place):
    return SimpleNamespace(is_usable=True, budget=None, close=lambda: None)


def _holds(world):
    return {"process": os.getpid(), "variable": os.environ.get("SGN_RT_OF_A_GROUP")}


def _dies(world):
    os._exit(9)


def _hangs(world):
    threading.Event().wait()


def _breaks_the_device(world):
    world.is_usable = False
    raise EngineError("kernel: got an illegal address, expected none. Report it.")


CHECKS = {
    "holds": Check(name="holds", run=_holds),
    "dies": Check(name="dies", run=_dies),
    "hangs": Check(name="hangs", run=_hangs, limit_s=0.1),
    "breaks": Check(name="breaks", run=_breaks_the_device),
    "leaves": Check(name="leaves", run=_holds, breaks_device=True),
}
OTHER = Group(
    part=Part.ONNXRUNTIME, name="other", open=_open, checks=(CHECKS["holds"],),
    environment={"SGN_RT_OF_A_GROUP": "1"},
)  # fmt: skip
GROUP = Group(part=Part.DEVICE, name="device", open=_open, checks=tuple(CHECKS.values()))
