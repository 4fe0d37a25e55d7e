"""What an engine consists of, as its builder says: kernels, casts, plugins, memory."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_LINE: Final = re.compile(
    r"^Name: (?P<name>.*?), LayerType: (?P<kind>[^,]*), .*?(?:TacticName: (?P<tactic>[^,]*),|$)"
)
_MEMORY: Final = re.compile(r"Total (?P<what>Activation|Weights) Memory: (?P<bytes>\d+) bytes")
_WORD: Final = re.compile(r"[A-Z][a-z]*")
_NO_KERNEL: Final = frozenset({"shape_call", "signal", "wait", "constant", "noop"})
"""Types of layers that launch nothing."""
_MOVES: Final = frozenset({"Cast", "Move", "Resh", "Tran", "Repl", "Slic", "Conc", "Copy"})
"""Parts of a generated kernel's name that stand for moving or converting numbers."""
_ATTENTION: Final = "_mha_"
_PLUGIN: Final = ("plugin", "custom_layer")
"""Types of plugin layers: standing alone, and inside of a compiled subgraph."""
_NORM_NETWORK_LAYER: Final = "SCALE"
"""What the parser makes of a BatchNormalization; exported graphs have none left."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of a built engine: name, kind (``kgen``, ``gemm``, ``PluginV3`` ...) and tactic."""

    name: str
    kind: str
    tactic: str = ""

    @property
    def words(self) -> list[str]:
        """Operations in a kernel's name: Cast, Mean, Sub of ``__myl_CastMeanSub_myl0_12``."""
        if not self.name.startswith("__myl_"):
            return []
        return _WORD.findall(self.name.removeprefix("__myl_").split("_")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What an engine consists of.

    Attributes
    ----------
    kernels
        Layers that launch something.
    kinds
        Layers by type.
    casts
        Conversions between number formats, inside of kernels too.
    movers
        Kernels that only move, reorder or convert numbers.
    attention
        Attentions that became one kernel.
    plugins
        Names of the plugin layers.
    norms
        BatchNormalizations in the parsed network that are not folded.
    network
        Layers of the parsed network by type.
    activation_bytes, weights_bytes
        Memory of one execution context at the profile's largest shapes, and of the weights.
    """

    kernels: int
    kinds: Mapping[str, int]
    casts: int
    movers: int
    attention: int
    plugins: tuple[str, ...]
    norms: int
    network: Mapping[str, int] = field(default_factory=dict)
    activation_bytes: int
    weights_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "kernels": self.kernels,
            "kinds": dict(self.kinds),
            "casts": self.casts,
            "movers": self.movers,
            "attention": self.attention,
            "plugins": list(self.plugins),
            "norms": self.norms,
            "network": dict(self.network),
            "activation_bytes": self.activation_bytes,
            "weights_bytes": self.weights_bytes,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Figure:
        """From `to_dict`; KeyError, TypeError or ValueError for anything else."""
        numbers = (
            "kernels",
            "casts",
            "movers",
            "attention",
            "norms",
            "activation_bytes",
            "weights_bytes",
        )
        return cls(
            kinds={str(k): int(v) for k, v in dict(values["kinds"]).items()},
            network={str(k): int(v) for k, v in dict(values["network"]).items()},
            plugins=tuple(map(str, values["plugins"])),
            **{name: int(values[name]) for name in numbers},
        )


def layers_from_log(messages: Iterable[str]) -> list[Layer]:
    """Layers as a builder prints them at its end, at verbosity DETAILED into a VERBOSE logger."""
    layers = []
    for message in messages:
        for line in message.splitlines():
            found = _LINE.match(line)
            if found:
                layers.append(Layer(found["name"], found["kind"], found["tactic"] or ""))
    return layers


def layers_from_inspector(text: str) -> list[Layer]:
    """Layers as EngineInspector gives them in JSON; names alone without DETAILED."""
    return [
        Layer(entry, "")
        if isinstance(entry, str)
        else Layer(
            str(entry.get("Name", "")),
            str(entry.get("LayerType", "")),
            str(entry.get("TacticName", "")),
        )
        for entry in json.loads(text).get("Layers", [])
    ]


def memory_from_log(messages: Iterable[str]) -> dict[str, int]:
    """Bytes of ``Activation`` and ``Weights`` that a builder reports; 0 where it does not."""
    found = {"Activation": 0, "Weights": 0}
    for message in messages:
        for match in _MEMORY.finditer(message):
            found[match["what"]] = int(match["bytes"])
    return found


def figure_of(
    layers: Sequence[Layer],
    network: Sequence[tuple[str, str]],
    memory: Mapping[str, int],
) -> Figure:
    """Count.

    Parameters
    ----------
    layers
        Of the built engine.
    network
        Name and type of each layer of the parsed network.
    memory
        As `memory_from_log`.
    """
    return Figure(
        kernels=sum(layer.kind not in _NO_KERNEL for layer in layers),
        kinds=dict(sorted(Counter(layer.kind for layer in layers).items())),
        casts=sum(layer.words.count("Cast") for layer in layers),
        movers=sum(bool(layer.words) and set(layer.words) <= _MOVES for layer in layers),
        attention=sum(_ATTENTION in layer.name for layer in layers),
        plugins=tuple(layer.name for layer in layers if layer.kind.lower().startswith(_PLUGIN)),
        norms=sum(kind == _NORM_NETWORK_LAYER for _, kind in network),
        network=dict(sorted(Counter(kind for _, kind in network).items())),
        activation_bytes=memory["Activation"],
        weights_bytes=memory["Weights"],
    )
