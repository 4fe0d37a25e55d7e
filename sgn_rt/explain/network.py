"""The network asked for what a separation does not need: embeddings and assignments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from sgn_rt._optional import require
from sgn_rt._types import Float
from sgn_rt.errors import DependencyError, UnavailableError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT
from sgn_rt.model.sgn_config import as_sgn


class Signals(NamedTuple):
    """What the network says of one window beside masks.

    Attributes
    ----------
    presence
        Probability of every category, shape = (C,), float32, 0 to 1.
    embedding
        Of every category, shape = (C, D), float32.
    assignment
        Share of every feature token that each category gathers, shape = (C, P), float32, as in
        MODEL step 6: behind its division, so that a row sums to less than 1. See `claims_of`.
    """

    presence: Float
    embedding: Float
    assignment: Float


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


class TorchNetwork:
    """The PyTorch reference, float32 on the CPU, from the checkpoint of a bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._torch: Any = require("torch", extra="export", purpose="explain")
        from sgn_rt.reference import load_content

        content = bundle.read(BUNDLE_CHECKPOINT)
        self._model: Any = load_content(content, bundle.root / BUNDLE_CHECKPOINT)

    @property
    def detail(self) -> str:
        """What it is, for people."""
        return f"PyTorch reference, torch {self._torch.__version__}"

    def signals(self, log_magnitude: Float) -> Signals:
        """As `Network.signals`."""
        with self._torch.inference_mode():
            levels = self._model.encode(self._input(log_magnitude))
            level = levels[self._model.config.token_level]
            embedding, assignment, presence, _ = self._model.group(level)
        return Signals(*(t[0].numpy() for t in (presence, embedding, assignment)))

    def masks(self, log_magnitude: Float, categories: Sequence[int]) -> Float:
        """As `Network.masks`."""
        wanted = self._torch.tensor(list(categories), dtype=self._torch.int64)
        with self._torch.inference_mode():
            masks, _, _ = self._model.masks(self._input(log_magnitude), wanted)
        found: Float = masks[0].numpy()
        return found

    def _input(self, log_magnitude: Float) -> Any:
        return self._torch.from_numpy(np.ascontiguousarray(log_magnitude))[None, None]


def open_network(bundle: Bundle) -> Network:
    """The network of a bundle, open to view.

    Raises
    ------
    UnavailableError
        If nothing here can show assignments: no PyTorch, or a bundle without its checkpoint.
    ConfigError
        If it is no SGN, and has no assignments.
    """
    as_sgn(bundle.config, "explain")
    if not bundle.has_checkpoint:
        raise UnavailableError(
            f"explain: got a bundle without {BUNDLE_CHECKPOINT} ({bundle.graphs}), expected one "
            "with it, as no graph gives what is shown. Export it again."
        )
    try:
        return TorchNetwork(bundle)
    except DependencyError as error:
        raise UnavailableError(
            "explain: got no PyTorch, expected it, as no graph gives what is shown. Install it: "
            f"{error.command}",
            command=error.command,
        ) from error
