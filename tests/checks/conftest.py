"""Groups of checks that stand for real ones, and a clock that moves when it is told to."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from sgn_rt.checks.check import Budget, Check, Group, Part, Place

MACHINE = {
    "sgn-rt": "1.0", "code": "0123456789ab", "python": "3.11.7", "platform": "Linux", "cpus": 2,
    "gpus": [{"name": "Fake GPU", "driver_version": "580.1", "clocks.sm": "1000 MHz"}],
    "cuda": {"CUDA runtime": "13.0"}, "tools": ["nvcc"], "packages": {"torch": "2.13.0"},
    "bundle": {"name": "small", "identity": "abc", "graphs": ["core.fp32"]},
}  # fmt: skip


class Clock:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """What the checks of these tests run on."""

    log: list[str] = field(default_factory=list)
    is_usable: bool = True
    budget: Budget = field(default_factory=lambda: Budget(1.0))

    def close(self) -> None:
        self.log.append("close")


@pytest.fixture
def machine():
    return MACHINE


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def place(tmp_path):
    return Place(bundle=tmp_path)


@pytest.fixture
def make_group():
    """Builds a group of named functions; keywords as `Group`'s."""

    def make(part=Part.DEVICE, name=None, limit_s=30.0, open=None, **checks) -> Group:  # noqa: A002
        return Group(
            part=part,
            name=name or str(part),
            open=open or (lambda place: World()),
            checks=tuple(
                Check(name=each.replace("_", "-"), run=run, limit_s=limit_s)
                for each, run in checks.items()
            ),
        )

    return make
