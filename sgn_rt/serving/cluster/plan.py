"""What is wanted of a cluster: how many engines, and of what size."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from sgn_rt.engines.factory import runs_on_gpu
from sgn_rt.errors import ConfigError

GPU_CPUS: Final = 4
"""Processors that read, convert and write for a GPU, where the user does not say how many."""

_RANGE: Final = re.compile(r"(\d+)(?:(-)(\d+)?)?")


@dataclass(frozen=True, slots=True)
class Pool:
    """How many actors there may be, each with an engine of its own.

    Attributes
    ----------
    least, most
        Ray Data keeps their number between these; None for as many as the cluster takes.
    """

    least: int = 1
    most: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """``4``, ``1-8``, or ``2-`` for two and more.

        Raises
        ------
        ConfigError
            For anything else.
        """
        found = _RANGE.fullmatch(text)
        if found is not None:
            least, dash, most = found.groups()
            pool = cls(int(least), int(most) if most else None if dash else int(least))
            if 1 <= pool.least <= (pool.least if pool.most is None else pool.most):
                return pool
        raise ConfigError(
            f"actors: got {text!r}, expected a number from 1, or two of them, the smaller first, "
            "as in 1-8. Name how many engines there may be."
        )

    def at_most(self, count: int) -> Pool:
        """No more than so many, of which there is at least one."""
        most = count if self.most is None else min(self.most, count)
        return Pool(min(self.least, most), most)


@dataclass(frozen=True, slots=True)
class Share:
    """What an actor takes of its node.

    Attributes
    ----------
    cpus
        Processors that its engine uses: Ray counts them, and limits nobody to them.
    gpus
        0 or 1.
    """

    cpus: int
    gpus: int

    @classmethod
    def of(cls, engine: str, cpus: int | None, gpus_there: float) -> Self:
        """What an engine needs; ``auto`` takes a GPU if the cluster has one.

        Parameters
        ----------
        engine
            As `Separator.open`'s.
        cpus
            What the user says; None for nothing.
        gpus_there
            GPUs in the cluster.
        """
        wants = gpus_there >= 1 if engine == "auto" else runs_on_gpu(engine)
        return cls(cpus or (GPU_CPUS if wants else 1), int(wants))

    @property
    def resources(self) -> dict[str, int]:
        """As Ray's arguments. A GPU is what counts where there is one."""
        return {"num_gpus": self.gpus} if self.gpus else {"num_cpus": self.cpus}

    def fits(self, node: Mapping[str, float]) -> int:
        """How many there can be on a node of such resources."""
        return int(node.get("GPU", 0)) if self.gpus else int(node.get("CPU", 0) // self.cpus)
