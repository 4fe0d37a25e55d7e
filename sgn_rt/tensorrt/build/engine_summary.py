"""What an engine consists of, as its builder says: kernels, casts, plugins, memory."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

_LINE: Final = re.compile(
    r"^Name: (?P<name>.*?), LayerType: (?P<kind>[^,]*), .*?(?:TacticName: (?P<tactic>[^,]*),|$)"
)
_MEMORY: Final = re.compile(r"Total (?P<what>Activation|Weights) Memory: (?P<bytes>\d+) bytes")
_PROFILE: Final = re.compile(r" \[profile (\d+)\]|_myl(\d+)_\d+$")
"""Which profile a layer is of, in its name; kernels made for one have its number alone."""
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
    activation_bytes
        Memory of one execution context, for each profile at its largest shapes.
    weights_bytes
        Memory of the weights.
    """

    kernels: int
    kinds: Mapping[str, int]
    casts: int
    movers: int
    attention: int
    plugins: tuple[str, ...]
    norms: int
    network: Mapping[str, int] = field(default_factory=dict)
    activation_bytes: tuple[int, ...]
    weights_bytes: int

    @property
    def memory(self) -> str:
        """In words: what each execution context takes, by profile, and what is there once."""
        contexts = " or ".join(f"{size / 1e6:.0f}" for size in self.activation_bytes) or "?"
        return f"{contexts} MB per context, {self.weights_bytes / 1e6:.0f} MB weights"

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
            "activation_bytes": list(self.activation_bytes),
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
            "weights_bytes",
        )
        activation = values["activation_bytes"]
        if not isinstance(activation, list):  # of one profile, as schema 1 has it
            activation = [activation]
        return cls(
            kinds={str(k): int(v) for k, v in dict(values["kinds"]).items()},
            network={str(k): int(v) for k, v in dict(values["network"]).items()},
            plugins=tuple(map(str, values["plugins"])),
            activation_bytes=tuple(map(int, activation)),
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
    """Layers as EngineInspector gives them in JSON; names alone without DETAILED.

    None for a text that is something else: nothing but the figure is read off it.
    """
    try:
        entries = list(json.loads(text)["Layers"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return [
        Layer(entry, "")
        if isinstance(entry, str)
        else Layer(
            str(entry.get("Name", "")),
            str(entry.get("LayerType", "")),
            str(entry.get("TacticName", "")),
        )
        for entry in entries
        if isinstance(entry, str | dict)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of an execution context, for each profile, and of the weights."""

    activation: tuple[int, ...]
    weights: int


def memory_from_log(messages: Iterable[str]) -> Memory:
    """What a builder reports; nothing where it does not."""
    found: dict[str, list[int]] = {"Activation": [], "Weights": [0]}
    for message in messages:
        for match in _MEMORY.finditer(message):
            found[match["what"]].append(int(match["bytes"]))
    return Memory(activation=tuple(found["Activation"]), weights=found["Weights"][-1])


def _of_last_profile(layers: Sequence[Layer], profiles: int) -> list[Layer]:
    """Layers that run for the largest batch: an engine has each once for every profile."""
    if profiles == 1:
        return list(layers)
    told = [_PROFILE.search(layer.name) for layer in layers]
    numbers = [int(found[1] or found[2]) if found else 0 for found in told]
    last = max(numbers, default=0)
    return [
        replace(layer, name=layer.name.replace(f" [profile {last}]", ""))
        for layer, number in zip(layers, numbers, strict=True)
        if number == last
    ]


def figure_of(
    layers: Sequence[Layer],
    network: Sequence[tuple[str, str]],
    memory: Memory,
    profiles: int = 1,
) -> Figure:
    """Count, of the profile for the largest batch.

    Parameters
    ----------
    layers
        Of the built engine.
    network
        Name and type of each layer of the parsed network.
    memory, profiles
        What it takes, and the number of its profiles.
    """
    layers = _of_last_profile(layers, profiles)
    return Figure(
        kernels=sum(layer.kind not in _NO_KERNEL for layer in layers),
        kinds=dict(sorted(Counter(layer.kind for layer in layers).items())),
        casts=sum(layer.words.count("Cast") for layer in layers),
        movers=sum(bool(layer.words) and set(layer.words) <= _MOVES for layer in layers),
        attention=sum(_ATTENTION in layer.name for layer in layers),
        plugins=tuple(layer.name for layer in layers if layer.kind.lower().startswith(_PLUGIN)),
        norms=sum(kind == _NORM_NETWORK_LAYER for _, kind in network),
        network=dict(sorted(Counter(kind for _, kind in network).items())),
        activation_bytes=memory.activation,
        weights_bytes=memory.weights,
    )
