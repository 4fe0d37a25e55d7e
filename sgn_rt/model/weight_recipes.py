"""Weights of a graph: each follows from tensors of the checkpoint by a recipe.

The recipe serves twice. Its value becomes the graph's initializer; and where a graph shares the
checkpoint's file, its steps become the graph's nodes. Both give the same bits, as every step is
exact or one correctly rounded multiplication in float32. So what a graph holds can be compared
with the checkpoint anywhere, without PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgn_rt.model.contract import NORM_EPSILON
from sgn_rt.model.sgn_config import SgnConfig

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Transpose:
    """Permute the axes."""

    order: tuple[int, ...]

    def apply(self, value: Float32) -> Float32:
        return value.transpose(self.order)


@dataclass(frozen=True, slots=True)
class Reshape:
    """Give another shape to the same items."""

    shape: tuple[int, ...]

    def apply(self, value: Float32) -> Float32:
        return value.reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Pick:
    """Items ``start``, ``start + step`` .. of two axes, to the end that ``step`` leads to."""

    axes: tuple[int, int]
    starts: tuple[int, int]
    step: int

    def apply(self, value: Float32) -> Float32:
        index: list[slice] = [slice(None)] * value.ndim
        for axis, start in zip(self.axes, self.starts, strict=True):
            index[axis] = slice(start, None, self.step)
        return value[tuple(index)]


@dataclass(frozen=True, slots=True)
class Scale:
    """Multiply by a float32 array that broadcasts."""

    factor: Float32

    def apply(self, value: Float32) -> Float32:
        return value * self.factor


Step = Transpose | Reshape | Pick | Scale


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a weight follows from the checkpoint.

    Attributes
    ----------
    sources
        Checkpoint tensors, joined along axis 1 where there are several.
    steps
        What is done to them, in order.
    """

    sources: tuple[str, ...]
    steps: tuple[Step, ...] = ()

    def value(self, tensors: Mapping[str, Float32]) -> Float32:
        """The weight, float32, contiguous."""
        parts = [tensors[name] for name in self.sources]
        value = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        for step in self.steps:
            value = step.apply(value)
        return np.ascontiguousarray(value)


Forms = tuple[tuple[str, ...], ...]
"""Sets of weights that say the same of a layer: a graph holds all of one of them."""


class WeightRecipes:
    """Weights by their names in a graph; those with a `Recipe`, and small ones computed here.

    Parameters
    ----------
    config
        The model's.
    tensors
        The checkpoint's, float32.

    Attributes
    ----------
    recipes, computed
        Weight -> how it follows from the tensors, or its value.
    forms
        Of every layer, one weight or several.
    """

    def __init__(self, config: SgnConfig, tensors: Mapping[str, Float32]) -> None:
        self.config, self.tensors = config, tensors
        self.blocks = [f"transformer.{i}" for i in range(self.config.transformer_depth)]
        self.recipes: dict[str, Recipe] = {}
        self.computed: dict[str, Float32] = {}
        self.forms: list[Forms] = []
        self._convolutions()
        self._tokens()
        self._linears()
        self._norms()
        alone = (*self.recipes, *self.computed)
        known = {name for forms in self.forms for form in forms for name in form}
        self.forms += [((name,),) for name in alone if name not in known]

    def __contains__(self, name: str) -> bool:
        return name in self.computed or name in self.recipes

    def value(self, name: str) -> Float32:
        """A weight, float32, contiguous."""
        if name in self.computed:
            return self.computed[name]
        return self.recipes[name].value(self.tensors)

    def _affine(self, norm: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """BatchNorm ``norm`` as scale and shift."""
        mean, var, weight, bias = (
            self.tensors[f"{norm}.{part}"].astype(np.float64)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        scale = weight / np.sqrt(var + NORM_EPSILON)
        return scale, bias - mean * scale

    def _convolutions(self) -> None:
        scale, shift = self._affine("input_norm")
        self.computed["input_scale"] = scale.astype(np.float32)
        self.computed["input_shift"] = shift.astype(np.float32)
        levels = len(self.config.encoder_channels)
        for part, out_axis in (("encoder", 0), ("decoder", 1)):
            for level in range(levels):
                name = f"{part}.{level}.conv"
                norm = f"{part}.{level}.norm"
                scaled: tuple[Scale, ...] = ()
                if f"{norm}.weight" in self.tensors:
                    scale, shift = self._affine(norm)
                    shape = [1, 1, 1, 1]
                    shape[out_axis] = -1
                    scaled = (Scale(scale.astype(np.float32).reshape(shape)),)
                    self.computed[f"{name}.bias"] = shift.astype(np.float32)
                else:
                    self._copy(f"{name}.bias")
                self.recipes[f"{name}.weight"] = Recipe((f"{name}.weight",), scaled)
                if part == "decoder":
                    self._phases(name, scaled)
                    self.computed[f"{name}.grid_bias"] = np.tile(self.value(f"{name}.bias"), 4)

    def _phases(self, name: str, scaled: tuple[Scale, ...]) -> None:
        """The 2x2 kernels that a transposed convolution [in, out, 4, 4] consists of (`cpu`)."""
        source = (f"{name}.weight",)
        for row in (0, 1):
            for column in (0, 1):
                taps = Pick((2, 3), (3 - row, 3 - column), -2)
                steps: tuple[Step, ...] = (taps, *scaled, Transpose((1, 0, 2, 3)))
                self.recipes[f"{name}.phase{column}{row}.weight"] = Recipe(source, steps)
        given, channels = self.tensors[source[0]].shape[:2]
        steps = (
            *scaled,
            Reshape((given, channels, 2, 2, 2, 2)),
            Pick((2, 4), (1, 1), -1),
            Transpose((5, 3, 1, 0, 2, 4)),
            Reshape((4 * channels, given, 2, 2)),
        )
        self.recipes[f"{name}.grid"] = Recipe(source, steps)
        phases = tuple(f"{name}.phase{place}.weight" for place in ("00", "01", "10", "11"))
        self.forms.append(((f"{name}.weight",), phases, (f"{name}.grid",)))
        self.forms.append(((f"{name}.bias",), (f"{name}.grid_bias",)))

    def _tokens(self) -> None:
        # Rows of the features get their position, the zero rows behind them become class tokens.
        self.recipes["token_offset"] = Recipe(("position_embedding", "class_tokens"))
        name = "token_projection"
        shape = self.tensors[f"{name}.weight"].shape
        steps = (Reshape(shape[:2]), Transpose((1, 0)))
        self.recipes[f"{name}.weight"] = Recipe((f"{name}.weight",), steps)
        self._copy(f"{name}.bias")

    def _linears(self) -> None:
        dim, heads = self.config.embedding_dim, self.config.attention_heads
        qkv = np.ones(3 * dim)
        qkv[:dim] = (dim // heads) ** -0.5
        guide = np.full(self.config.mask_basis + 1, self.config.mask_basis**-0.5)
        guide[-1] = 1.0
        for block in self.blocks:
            self._linear(f"{block}.attention.qkv", qkv)
            for part in ("attention.output", "mlp.up", "mlp.down"):
                self._linear(f"{block}.{part}")
        self._linear("grouping.query", np.full(dim, dim**-0.5))
        for name in ("grouping.key", "grouping.value", "grouping.output", "presence_head"):
            self._linear(name)
        self._linear("mask_guide.up")
        self._linear("mask_guide.down", guide)

    def _linear(self, name: str, scale: NDArray[np.float64] | None = None) -> None:
        """Weight [in, out]; ``scale`` [out] multiplies weight and bias."""
        scaled = () if scale is None else (Scale(scale.astype(np.float32)),)
        self.recipes[f"{name}.weight"] = Recipe((f"{name}.weight",), (Transpose((1, 0)), *scaled))
        self.recipes[f"{name}.bias"] = Recipe((f"{name}.bias",), scaled)

    def _norms(self) -> None:
        names = ["feature_norm", "token_norm", "grouping.norm"]
        for block in self.blocks:
            names += [f"{block}.attention_norm", f"{block}.mlp_norm"]
        for name in names:
            self._copy(f"{name}.weight", f"{name}.bias")

    def _copy(self, *names: str) -> None:
        for name in names:
            self.recipes[name] = Recipe((name,))
