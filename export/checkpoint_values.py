"""What a bundle's checkpoint says of the values in its graphs, computed by PyTorch in float32.

A graph is made from a module (`sgn_rt.export.graphs`), whose parameters are its weights, under the
same names. So each weight of a graph is known; and so is the value of each operator that takes one:
that of the call, in PyTorch, which takes the same parameters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import onnx
import torch
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from sgn_rt.errors import EngineError
from sgn_rt.export.graphs import float_module
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, PLUGIN_NAMESPACE, Kind
from sgn_rt.reference import load

Values = dict[str, np.ndarray]
"""Values by their names in a graph."""
_Key = frozenset[str]
"""Names of the weights that an operator takes."""

_TRANSFORMS: Final = ("stft.", "istft.")
"""Modules that are a node each in a ``plugin`` graph, which has not their weights."""


class CheckpointValues:
    """The truth of a graph's values.

    Parameters
    ----------
    bundle, artifact, graph
        The graph.

    Attributes
    ----------
    weights
        Weight -> float32 value, not rounded.

    Raises
    ------
    EngineError
        If the bundle has no checkpoint, or the graph lacks a weight of it.
    """

    def __init__(self, bundle: Bundle, artifact: Artifact, graph: onnx.ModelProto) -> None:
        if bundle.config.is_whole:
            raise EngineError(
                f"{artifact.name}: got the bundle of a user's own network, whose code is not in "
                "it, expected one of an sgn-checkpoint to compare layers with. Leave --layers out: "
                "stages are compared without it."
            )
        if not bundle.has_checkpoint:
            raise EngineError(
                f"{artifact.name}: got a bundle without {BUNDLE_CHECKPOINT}, expected one with it: "
                "it is what layers are compared with. Export the bundle again."
            )
        self._name = artifact.name
        model = load(bundle.root / BUNDLE_CHECKPOINT)
        self._module = float_module(model, artifact.kind, artifact.precision)
        whole = artifact.kind == Kind.CORE and bundle.schema == 1
        self._run = self._module.masks if whole else self._module
        named = dict(self._module.named_parameters())
        if artifact.kind == Kind.PLUGIN:
            named = {n: p for n, p in named.items() if not n.startswith(_TRANSFORMS)}
        # Of several weights of equal values the exporter keeps one; here that is the first.
        firsts: dict[tuple[Any, ...], str] = {}
        self._first = {
            name: firsts.setdefault((value.shape, value.numpy().tobytes()), name)
            for name, value in named.items()
        }
        self._names = {id(value): name for name, value in named.items()}
        held = _held(graph)
        self.weights: Values = {n: p.numpy() for n, p in named.items() if n in held}
        known = {self._first[name] for name in self.weights}
        lacking = sorted(name for name in named if self._first[name] not in known)
        if lacking:
            raise EngineError(
                f"{artifact.name}: got a graph without {', '.join(lacking)}, expected every weight "
                "of the checkpoint under its name. Export the bundle again."
            )
        self._by_key: dict[_Key, list[str]] = defaultdict(list)
        for node in graph.graph.node:
            if key := self._key(node.input):
                self._by_key[key].append(node.output[0])
        self._transforms = {
            node.name.partition("/")[0]: list(node.output)
            for node in graph.graph.node
            if node.domain == PLUGIN_NAMESPACE
        }

    def _key(self, names: Iterable[str]) -> _Key:
        return frozenset(self._first[name] for name in names if name in self._first)

    def layers(self, feed: Mapping[str, np.ndarray]) -> Values:
        """Values of the operators that take weights, for a graph's inputs in their order.

        Raises
        ------
        EngineError
            If the graph has another number of them.
        """
        found: Values = {}
        hooks = [self._watch(path, names, found) for path, names in self._transforms.items()]
        calls = _Calls(self._names)
        try:
            with torch.inference_mode(), calls:
                self._run(*(torch.from_numpy(value) for value in feed.values()))
        finally:
            for hook in hooks:
                hook.remove()
        values: dict[_Key, list[torch.Tensor]] = defaultdict(list)
        for names, value in calls.values:
            values[self._key(names)].append(value)
        for key, outputs in self._by_key.items():
            if len(outputs) != len(values[key]):
                raise EngineError(
                    f"{self._name}: got {len(outputs)} operators of {', '.join(sorted(key))}, "
                    f"expected {len(values[key])}. Export the bundle again."
                )
            # Weights that serve several times do so in the same order.
            found.update(zip(outputs, map(_array, values[key]), strict=True))
        return found

    def _watch(self, path: str, names: list[str], found: Values) -> RemovableHandle:
        def keep(*called: Any) -> None:
            output = called[-1]
            outputs = output if isinstance(output, tuple) else (output,)
            found.update(zip(names, map(_array, outputs), strict=True))

        return self._module.get_submodule(path).register_forward_hook(keep)


def _array(value: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(value.numpy())


def _held(graph: onnx.ModelProto) -> set[str]:
    """Every value that a graph has, or makes."""
    body = graph.graph
    return {t.name for t in body.initializer} | {name for node in body.node for name in node.output}


class _Calls(TorchFunctionMode):
    """Keeps what each call gives that takes named parameters, and their names."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self.values: list[tuple[list[str], torch.Tensor]] = []
        self._names = names

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        names = [
            self._names[id(a)] for a in (*args, *(kwargs or {}).values()) if id(a) in self._names
        ]
        if names and isinstance(result, torch.Tensor):
            self.values.append((names, result))
        return result
