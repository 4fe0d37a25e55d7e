"""An engine that can be made wrong on purpose: the PyTorch reference, with a fault in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from sgn_rt._types import Float, Positions
from sgn_rt.audio.resample import Resampler
from sgn_rt.engines.base import MaskEngine
from sgn_rt.model.contract import Precision
from sgn_rt.reference import Sgn

Row = tuple[Float, tuple[torch.Tensor, torch.Tensor]]
"""Presence [C], with the basis maps [1, K, L, T] and the guide [1, C, K + 1] of a window."""


class Suspect(MaskEngine):
    """The reference as an engine, whose parts faults replace while they last.

    Convolutions whose weights and inputs are those of the right network give what they gave it, to
    the bit: hundreds of faults are measured in minutes.

    Attributes
    ----------
    model
        The network; `changed` alters its tensors.
    products
        Context in which the network runs.
    rows
        What becomes of the network's outputs.
    run
        The network, from log-magnitude [1, 1, L, T] to basis maps, guide and presence.
    convert
        Gives the resampler between two rates; None for the right one.
    """

    name = "suspect"
    precision = Precision.FP32
    concurrency = 1
    detail = "PyTorch reference with a fault"

    def __init__(self, model: Sgn) -> None:
        super().__init__(model.config)
        self.model = model
        self.products: Callable[[], AbstractContextManager[object]] = nullcontext
        self.rows: Callable[[Row], Row] = lambda row: row
        self.run: Callable[[torch.Tensor], tuple[torch.Tensor, ...]] = self._reference
        self.convert: Callable[[int, int], Resampler] | None = None
        self._memory = _Memory(model)

    def _reference(self, log_magnitude: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.model.network(log_magnitude)[:3]

    @contextmanager
    def changed(self, name: str) -> Iterator[torch.Tensor]:
        """A tensor of the checkpoint, to be altered in place; it is right again afterwards."""
        owner, _, _ = name.rpartition(".")
        tensor = self.model.state_dict(keep_vars=True)[name].detach()
        right = tensor.clone()
        with self._memory.without(owner):
            try:
                yield tensor
            finally:
                tensor.copy_(right)

    @contextmanager
    def replaced(self, **parts: Any) -> Iterator[None]:
        """Other parts in the place of its own."""
        own = {name: getattr(self, name) for name in parts}
        try:
            with self._memory.without(*self._memory.owners):
                for name, part in parts.items():
                    setattr(self, name, part)
                yield
        finally:
            for name, part in own.items():
                setattr(self, name, part)

    def resampler(self, source_rate: int, target_rate: int) -> Resampler:
        """As `Engine.resampler`."""
        make = self.convert or super().resampler
        return make(source_rate, target_rate)

    def _network(self, log_magnitude: Float, wanted: Positions | None) -> Sequence[Row]:
        del wanted
        rows = []
        for window in log_magnitude:
            with torch.inference_mode(), self.products():
                basis, guide, presence = self.run(torch.from_numpy(window[None]))
            rows.append(self.rows((presence[0].numpy(), (basis, guide))))
        return rows

    def _mask(self, state: tuple[torch.Tensor, torch.Tensor], category: int) -> Float:
        basis, guide = state
        with torch.inference_mode(), self.products():
            mask = self.model.mask(basis, guide[:, category : category + 1])
        made: Float = np.ascontiguousarray(mask[0, 0].float().numpy())
        return made


class _Memory:
    """What convolutions have given for the inputs that they saw first."""

    most = 4
    """Inputs of each: two windows, each from the reference's log-magnitude and from the sound."""

    def __init__(self, model: Sgn) -> None:
        kinds = (nn.Conv2d, nn.ConvTranspose2d)
        self._kept: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        self._off: set[str] = set()
        for name, module in model.named_modules():
            if isinstance(module, kinds):
                self._kept[name] = []
                setattr(module, "forward", self._remembering(name, module.forward))  # noqa: B010

    @property
    def owners(self) -> list[str]:
        """Names of the modules that remember."""
        return list(self._kept)

    @contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """Some of them compute what they are asked, and keep nothing."""
        before, self._off = self._off, self._off | set(names)
        try:
            yield
        finally:
            self._off = before

    def _remembering(
        self, name: str, forward: Callable[[torch.Tensor], torch.Tensor]
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        def remembered(x: torch.Tensor) -> torch.Tensor:
            if name in self._off:
                return forward(x)
            kept = self._kept[name]
            for seen, given in kept:
                if torch.equal(seen, x):
                    return given
            given = forward(x)
            if len(kept) < self.most:
                kept.append((x, given))
            return given

        return remembered
