"""What reads ONNX: is it here, and what runs a graph in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sgn_rt.engines.onnxruntime_session import Runs
from sgn_rt.model.contract import GRAPH_OUTPUTS, Kind

EXTRA = "portability"
"""Of sgn-rt, with the packages of all of them that are Python's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFile:
    """A graph on disk, a copy of what the bundle has verified.

    Attributes
    ----------
    path
        Its file.
    external
        Files beside it that hold its weights, as it names them.
    kind
        What it computes.
    """

    path: Path
    external: Sequence[str]
    kind: Kind

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of its outputs, in the graph's order."""
        return tuple(map(str, GRAPH_OUTPUTS[self.kind]))


class Consumer(ABC):
    """Reads ONNX graphs and runs them.

    Attributes
    ----------
    name
        As it is chosen, and shown.
    quick
        Whether it takes minutes a window: then only what a start-up proves is measured of it, on
        one window.
    """

    name: ClassVar[str]
    quick: ClassVar[bool] = False

    @abstractmethod
    def version(self) -> str:
        """Its version.

        Raises
        ------
        DependencyError
            If it is not here, with the command that installs it.
        """

    @abstractmethod
    def open(self, graph: GraphFile) -> Runs:
        """What runs a graph; whatever it raises, at once or as it runs, is its refusal."""

    def close(self) -> None:
        """Let go of what its graphs share."""
        del self  # nothing to do for most


def picked(names: Sequence[str], outputs: Sequence[str], values: Sequence[object]) -> list[object]:
    """Of a graph's values, in its own order, those that are asked for."""
    by_name = dict(zip(names, values, strict=True))
    return [by_name[str(name)] for name in outputs]
