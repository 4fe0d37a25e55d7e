"""Where signals come from: a graph that gives assignments, or the PyTorch reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sgn_rt._types import Float, Signals
from sgn_rt.engines.base import MaskEngine
from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import DependencyError, UnavailableError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import Kind, Precision
from sgn_rt.model.sgn_config import as_sgn


class Network(Protocol):
    """A network that can be looked into."""

    @property
    def detail(self) -> str:
        """What it is, for people."""
        ...

    def signals(self, log_magnitude: Float) -> Signals:
        """Of one window, from its log-magnitude [L, T]."""
        ...

    def masks(self, log_magnitude: Float, categories: Sequence[int]) -> Float:
        """Masks of some categories of one window, shape = (S, L, T), float32, 0 to 1."""
        ...


class EngineNetwork:
    """An engine that shows assignments."""

    def __init__(self, engine: MaskEngine) -> None:
        self.engine, self.detail = engine, engine.detail

    def signals(self, log_magnitude: Float) -> Signals:
        """As `Network.signals`."""
        return self.engine.signals(np.ascontiguousarray(log_magnitude))

    def masks(self, log_magnitude: Float, categories: Sequence[int]) -> Float:
        """As `Network.masks`."""
        wanted = np.array(categories, np.int64)
        masks: Float = self.engine.masks(log_magnitude[None, None], wanted).masks[0]
        return masks


def open_network(bundle: Bundle) -> Network:
    """The network of a bundle, open to view: its graph where that gives assignments, or PyTorch.

    Raises
    ------
    UnavailableError
        If nothing here shows assignments.
    ConfigError
        If it is no SGN, and has no assignments.
    """
    as_sgn(bundle.config, "explain")
    missing: list[DependencyError] = []
    for precision in Precision if bundle.probe.assignment is not None else ():
        artifact = bundle.find(Kind.CORE, precision)
        if artifact is None:
            continue
        try:
            engine = open_engine(f"onnxruntime:{artifact.name}", bundle)
        except DependencyError as error:
            missing.append(error)
            break
        if isinstance(engine, MaskEngine) and engine.shows_assignment:
            return EngineNetwork(engine)
        engine.close()
    try:
        engine = open_engine("torch", bundle)
        assert isinstance(engine, MaskEngine)
        return EngineNetwork(engine)
    except (DependencyError, UnavailableError) as error:
        reasons = "; ".join(map(str, (*missing, error)))
        raise UnavailableError(
            f"explain: got nothing here that shows assignments ({bundle.graphs}; {reasons}), "
            "expected a core graph that gives them, or PyTorch and the checkpoint. Export the "
            "bundle with --assignment, or install PyTorch.",
            command=error.command,
        ) from error
