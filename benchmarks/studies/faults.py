"""Faults that an engine may have, and that parity has to name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from sgn_rt._types import Float
from sgn_rt.audio.resample import SpanResampler
from sgn_rt.benchmarks.studies.suspect import Row, Suspect
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import Precision
from sgn_rt.model.prime_factor import ProductsInverse
from sgn_rt.model.transform import Transform
from sgn_rt.reference import Sgn

Made = Callable[[Suspect], AbstractContextManager[object]]
"""Puts a fault into an engine for as long as the context lasts."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes
    ----------
    kind
        What is wrong, as the table says it.
    where
        Tensor, or what else tells it from others of its kind.
    made
        Puts it in.
    """

    kind: str
    where: str
    made: Made


def faults(model: Sgn) -> Iterator[Fault]:
    """Every fault of a network, and of the transforms around it."""
    yield from _of_weights(model)
    yield from _of_transforms(model.config)
    yield from _of_categories(model.config)
    yield from _of_numbers(model)
    yield from _of_resampling()


def weights(model: Sgn) -> list[str]:
    """Tensors of a checkpoint that a graph takes; the head of training it does without."""
    held = model.state_dict()
    return [
        name
        for name, tensor in held.items()
        if tensor.is_floating_point() and not name.startswith("category_head.")
    ]


def _of_weights(model: Sgn) -> Iterator[Fault]:
    for factor in (1.01, 1.001):
        for name in weights(model):
            scaled = partial(_changed, name, partial(_scale, factor))
            yield Fault(f"a weight tensor times {factor}", name, scaled)
    for name in weights(model):
        yield Fault("one weight flipped in sign", name, partial(_changed, name, _flip))
    for name in weights(model):
        if name.endswith("bias"):
            yield Fault("a bias dropped", name, partial(_changed, name, torch.Tensor.zero_))


@contextmanager
def _changed(name: str, change: Callable[[torch.Tensor], Any], suspect: Suspect) -> Iterator[None]:
    with suspect.changed(name) as tensor:
        change(tensor)
        yield


def _scale(factor: float, tensor: torch.Tensor) -> None:
    tensor.mul_(factor)


def _flip(tensor: torch.Tensor) -> None:
    """Of the weight that is the middle one by size: one like any other."""
    flat = tensor.view(-1)
    flat[flat.abs().median(dim=0).indices] *= -1.0


class _Transforms(Transform):
    """One transform before the network, and another behind it."""

    def __init__(self, config: ModelConfig, before: Transform, behind: Transform) -> None:
        super().__init__(config)
        self._before, self._behind = before, behind

    def stft(self, mixture: Float) -> NDArray[np.complex64]:
        length = self._before.config.window_samples
        fitted = np.pad(mixture, (0, max(0, length - len(mixture))))[:length]
        return self._before.stft(fitted)

    def log_magnitude(self, spectrum: NDArray[np.complex64]) -> Float:
        return self._before.log_magnitude(spectrum)

    def synthesis(self, spectrum: NDArray[np.complex64]) -> Callable[[Float], Float]:
        make, length = self._behind.synthesis(spectrum), self.config.window_samples

        def fitted(mask: Float) -> Float:
            made = make(mask)
            return np.pad(made, (0, max(0, length - len(made))))[:length]

        return fitted


class _ZeroPadded(Transform):
    def _padded(self, mixture: Float) -> Float:
        return np.pad(mixture, self.config.n_fft // 2)


class _Windowed(Transform):
    def __init__(self, config: ModelConfig, window: NDArray[np.float64]) -> None:
        super().__init__(config)
        self._window = window.astype(np.float32)[:, None]
        if self._inverse is not None:
            self._inverse = ProductsInverse(config.n_fft, self._inverse.prime, window)


def _of_transforms(config: ModelConfig) -> Iterator[Fault]:
    def fault(kind: str, wrong: Transform, *where: str) -> Iterator[Fault]:
        right = Transform(config)
        sides = {"before": (wrong, right), "behind": (right, wrong), "both": (wrong, wrong)}
        for name in where or sides:
            transform = _Transforms(config, *sides[name])
            place = "on both sides" if name == "both" else f"{name} the network"
            yield Fault(kind, place, partial(Suspect.replaced, transform=transform))

    periodic = np.hanning(config.n_fft + 1)[:-1]
    yield from fault("window off by one sample", _Windowed(config, np.roll(periodic, 1)))
    yield from fault("symmetric Hann", _Windowed(config, np.hanning(config.n_fft)))
    for by in (1, -1):
        hop = config.hop_length + by
        other = replace(config, hop_length=hop, window_samples=(config.frames - 1) * hop)
        for each in fault("hop off by one", Transform(other)):
            yield replace(each, where=f"{by:+d}, {each.where}")
    yield from fault("zero padding for reflected", _ZeroPadded(config), "before")
    for factor in (10.0, 0.1, 1.01, 1.001):
        assert config.log_epsilon is not None, "it is the model that ships"
        other = replace(config, log_epsilon=min(0.5, config.log_epsilon * factor))
        for each in fault("log_epsilon wrong", Transform(other), "before"):
            yield replace(each, where=f"times {factor:g}")


def _of_categories(config: ModelConfig) -> Iterator[Fault]:
    for pair in combinations(range(len(config.categories)), 2):
        names = " and ".join(config.categories[i] for i in pair)
        yield Fault("categories swapped", names, partial(_rows, partial(_swap, pair, True)))
    for pair in combinations(range(len(config.categories)), 2):
        names = " and ".join(config.categories[i] for i in pair)
        made = partial(_rows, partial(_swap, pair, False))
        yield Fault("masks swapped, not presence", names, made)


def _rows(change: Callable[[Row], Row], suspect: Suspect) -> AbstractContextManager[None]:
    return suspect.replaced(rows=change)


def _swap(pair: tuple[int, int], with_presence: bool, row: Row) -> Row:
    presence, (basis, guide) = row
    order = list(range(len(presence)))
    order[pair[0]], order[pair[1]] = order[pair[1]], order[pair[0]]
    return presence[order] if with_presence else presence, (basis, guide[:, order])


class _Rounded(TorchFunctionMode):
    """Matrix products and convolutions of inputs that are rounded first."""

    products = (torch.conv2d, torch.conv_transpose2d, F.conv2d, F.conv_transpose2d, F.linear,
                torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__)  # fmt: skip

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in self.products:
            args = (*map(_tf32, args[:2]), *args[2:])
        return func(*args, **(kwargs or {}))


def _tf32(x: torch.Tensor) -> torch.Tensor:
    """Rounded to the 10 bits of TF32 (Dekker)."""
    large = x * (2.0**13 + 1)
    return large - (large - x)


def _of_numbers(model: Sgn) -> Iterator[Fault]:
    for claimed in (Precision.FP32, Precision.FP16):
        yield Fault(
            f"bfloat16, said to be {claimed}", "all", partial(_network_in, torch.bfloat16, claimed)
        )
    yield Fault(
        "float16, said to be fp32", "all", partial(_network_in, torch.float16, Precision.FP32)
    )
    yield Fault("products in TF32", "all", lambda s: s.replaced(products=_Rounded))
    for level in range(len(model.encoder)):
        for saturates in (False, True):
            kind = f"float16 overflow, {'saturated' if saturates else 'to infinity'}"
            made = partial(_overflow, level, saturates)
            yield Fault(kind, f"encoder level {level}", made)
    for factor in (100.0, 0.1):
        made = partial(_norm_epsilon, factor)
        yield Fault("epsilon of the norms wrong", f"times {factor:g}", made)


@contextmanager
def _network_in(dtype: torch.dtype, claimed: Precision, suspect: Suspect) -> Iterator[None]:
    model = suspect.model
    right = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def run(log_magnitude: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(x.float() for x in model.network(log_magnitude.to(dtype))[:3])

    with suspect.replaced(run=run, precision=claimed):
        try:
            model.to(dtype)
            yield
        finally:
            model.float()
            model.load_state_dict(right)


@contextmanager
def _overflow(level: int, saturates: bool, suspect: Suspect) -> Iterator[None]:
    """The largest thousandth of a level's activations is beyond float16's range."""

    def hook(module: object, inputs: object, output: torch.Tensor) -> torch.Tensor:
        del module, inputs
        flat = output.flatten()
        most = flat.kthvalue(max(1, int(0.999 * len(flat)))).values
        beyond = most if saturates else torch.full_like(most, torch.inf)
        return torch.where(output > most, beyond, output)

    with suspect.replaced():
        handle = suspect.model.encoder[level].register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()


@contextmanager
def _norm_epsilon(factor: float, suspect: Suspect) -> Iterator[None]:
    norms: list[Any] = [m for m in suspect.model.modules() if hasattr(m, "eps")]
    right = [norm.eps for norm in norms]
    with suspect.replaced():
        try:
            for norm in norms:
                norm.eps = norm.eps * factor
            yield
        finally:
            for norm, epsilon in zip(norms, right, strict=True):
                norm.eps = epsilon


class _Late:
    """A resampler that is late by a part of a target sample."""

    at_once = False

    def __init__(self, source_rate: int, target_rate: int, late: float) -> None:
        self._right = SpanResampler(source_rate, target_rate)
        self.ratio, self.context_s = self._right.ratio, self._right.context_s
        self.source_span = self._right.source_span
        self._late = late

    def __call__(self, source: Float, start: int, stop: int) -> Float:
        made = self._right(source, start, stop)
        shift = np.exp(-2j * np.pi * np.fft.rfftfreq(made.shape[1]) * self._late)
        late: Float = np.fft.irfft(np.fft.rfft(made) * shift, made.shape[1]).astype(np.float32)
        return late


def _of_resampling() -> Iterator[Fault]:
    for late in (0.5, 1.0, 0.01):
        convert = partial(_Late, late=late)
        made = partial(Suspect.replaced, convert=convert)
        yield Fault("resampler late", f"by {late:g} samples", made)
