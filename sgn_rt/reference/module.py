"""A user's own network as the reference, and what is asked of it before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor, nn

from sgn_rt.errors import ConfigError, ModuleError
from sgn_rt.model.config import ModelConfig
from sgn_rt.reference.spectral import Reference
from sgn_rt.reference.user_code import told

OUTPUTS: Final = ("masks", "presence", "embedding")
_SAME: Final = 1e-4
"""Most by which an answer may depend on its company: rounding is some 1e-6."""


class ModuleReference(Reference):
    """A user's module between an STFT and its inverse.

    Attributes
    ----------
    network
        The module: (x float32 [B, 1, L, T], categories int64 [S]) to masks, or a dict.
    spec
        Its name for messages.
    """

    def __init__(self, network: nn.Module, config: ModelConfig, spec: str) -> None:
        super().__init__(config)
        self.network, self.spec = network, spec

    @classmethod
    def of(cls, network: nn.Module, config: ModelConfig, spec: str) -> ModuleReference:
        """Check a module on noise, and note down what else it says than masks.

        Parameters
        ----------
        network, spec
            As the attributes; it is put into evaluation mode, on the CPU, in float32.
        config
            What the factory says; whether there are presence and embedding is seen here.

        Raises
        ------
        ModuleError
            For whatever is against the interface.
        """
        network = network.cpu().float().eval().requires_grad_(requires_grad=False)
        reference = cls(network, config, spec)
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            found = _checked(reference)
        presence, embedding = found.get("presence"), found.get("embedding")
        try:
            reference.config = replace(
                config,
                has_presence=presence is not None,
                embedding_dim=None if embedding is None else embedding.shape[-1],
            )
        except ConfigError as error:
            raise ModuleError(f"{spec}: {error}") from error
        return reference

    def answer(self, x: Tensor, categories: Tensor) -> dict[str, Tensor]:
        """What the module gives, as a dict."""
        given = self.network(x, categories)
        return dict(given) if isinstance(given, Mapping) else {"masks": given}

    def masks(self, log_magnitude: Tensor, categories: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `Reference.masks`; presence is 1 where the module does not say."""
        found = self.answer(log_magnitude, categories)
        shape = (log_magnitude.shape[0], len(self.config.categories))
        presence = found.get("presence")
        embedding = found.get("embedding")
        return (
            found["masks"],
            log_magnitude.new_ones(shape) if presence is None else presence,
            log_magnitude.new_zeros((*shape, 0)) if embedding is None else embedding,
        )

    def presence(self, log_magnitude: Tensor) -> Tensor:
        """As `Reference.presence`; modules need not know what no category is."""
        return self.masks(log_magnitude, torch.zeros(1, dtype=torch.int64))[1]


def _checked(reference: ModuleReference) -> dict[str, Tensor]:
    """What the module says of two windows of noise and two categories."""
    config, spec = reference.config, reference.spec
    noise = torch.randn(2, config.window_samples, generator=torch.Generator().manual_seed(0))
    x = reference.log_magnitude(reference.stft(0.1 * noise))
    both = torch.tensor([len(config.categories) - 1, 0])
    found = _answer(reference, x, both)
    again = _answer(reference, x, both)
    training = [n or "the module" for n, part in reference.network.named_modules() if part.training]
    if training:
        raise ModuleError(
            f"{spec}: got {', '.join(training[:5])} in training mode although eval() was called, "
            "expected evaluation mode. Do not call train() in forward, nor override eval()."
        )
    for name, value in found.items():
        if not torch.allclose(value, again[name], rtol=0.0, atol=1e-6):
            raise ModuleError(
                f"{spec}: got {name} that differ from call to call, expected the same for the "
                "same input. Leave randomness out where self.training is False "
                "(torch.nn.functional.dropout needs training=self.training)."
            )
    alone = _answer(reference, x[1:], both)
    for name, value in found.items():
        _expect_same(spec, name, value[1:], alone[name], "windows that stand beside it in a batch",
                     "Normalise by running statistics, or within a window")  # fmt: skip
    one = _answer(reference, x, both[1:])
    _expect_same(spec, "masks", found["masks"][:, 1:], one["masks"],
                 "categories that are asked for beside it",
                 "Give masks of the categories asked for, in their order")  # fmt: skip
    return found


def _expect_same(spec: str, name: str, got: Tensor, alone: Tensor, what: str, advice: str) -> None:
    difference = float((got - alone).abs().max())
    if difference > _SAME * max(1.0, float(alone.abs().max())):
        raise ModuleError(
            f"{spec}: got {name} that depend on the {what} (by {difference:.2g}), expected each "
            f"to be as if alone. {advice}."
        )


def _answer(reference: ModuleReference, x: Tensor, categories: Tensor) -> dict[str, Tensor]:
    """One call, its answer compared with the interface."""
    spec, config = reference.spec, reference.config
    try:
        found = reference.answer(x, categories)
    except Exception as error:
        raise ModuleError(
            f"{spec}: got {told(error)} from the module for x {[*x.shape]} and categories "
            f"{categories.tolist()}, expected masks. Correct the module, or the sizes in the dict."
        ) from error
    unknown = sorted(str(name) for name in found.keys() - set(OUTPUTS))
    if unknown or "masks" not in found:
        raise ModuleError(
            f"{spec}: got a module that answers with {', '.join(map(str, found)) or 'nothing'}, "
            f"expected masks, or a dict of {', '.join(OUTPUTS)}. Return these alone."
        )
    batch, known = len(x), len(config.categories)
    shapes: dict[str, tuple[Any, ...]] = {
        "masks": (batch, len(categories), *config.mask_shape),
        "presence": (batch, known),
        "embedding": (batch, known, "dim"),
    }
    for name, value in found.items():
        _expect_tensor(spec, name, value, shapes[name])
    limited = ["presence"] if config.mask == "complex" else ["masks", "presence"]
    for name in limited:
        if name in found:
            _expect_range(spec, name, found[name])
    return found


def _expect_tensor(spec: str, name: str, value: object, shape: tuple[Any, ...]) -> None:
    good = isinstance(value, Tensor) and value.dtype == torch.float32
    if isinstance(value, Tensor):
        good &= len(shape) == value.dim() and all(
            isinstance(size, str) or size == got
            for size, got in zip(shape, value.shape, strict=True)
        )
        got = f"{str(value.dtype).removeprefix('torch.')} {[*value.shape]}"
    else:
        got = type(value).__name__
    if not good:
        expected = f"float32 [{', '.join(map(str, shape))}]"
        raise ModuleError(
            f"{spec}: got {name} {got}, expected {expected}. Correct the module, or the sizes in "
            "the dict."
        )
    assert isinstance(value, Tensor)
    if not bool(value.isfinite().all()):
        raise ModuleError(
            f"{spec}: got {name} that are not finite for noise, expected finite numbers. "
            "Check the checkpoint's weights."
        )


def _expect_range(spec: str, name: str, value: Tensor) -> None:
    low, high = float(value.min()), float(value.max())
    if not (low >= -1e-6 and high <= 1.0 + 1e-6):
        raise ModuleError(
            f"{spec}: got {name} from {low:.3g} to {high:.3g}, expected 0 to 1. "
            + ("End in a sigmoid or a softmax." if name == "presence" else
               "End in a sigmoid or a softmax, or say mask 'complex' if they are factors.")
        )  # fmt: skip
