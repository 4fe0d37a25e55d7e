"""Configurations of Triton's models, made from what the graphs and the engines say of themselves.

They are what `config.pbtxt` says, as plain values; `as_text` makes the file of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sgn_rt._optional import require
from sgn_rt.engines.factory import runs_on_gpu
from sgn_rt.errors import ConfigError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import Kind, Precision, Tensor
from sgn_rt.model.graph_file import GraphTensor
from sgn_rt.serving.triton import wire
from sgn_rt.tensorrt.sidecar import Sidecar

Config = Mapping[str, Any]

_TYPES: Final = {
    "float32": "TYPE_FP32", "float16": "TYPE_FP16", "int64": "TYPE_INT64", "bool": "TYPE_BOOL",
}  # fmt: skip
PLAN_OF_ANY_GPU: Final = "model.plan"
Graph = tuple[Sequence[GraphTensor], Sequence[GraphTensor]]
"""Inputs and outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How models are served.

    Attributes
    ----------
    engine
        Of the Python backend's models, as `sgn_rt.Separator.open`.
    threads
        Processors of an instance of theirs; 0 for all.
    instances
        Of each model; on each GPU where it is one that runs there.
    batch
        Windows that Triton joins into a call at most, where the engine does not say.
    slots
        Live streams of an instance; more of them wait.
    idle_s
        A live stream is given up after so many seconds without a block.
    delay_us
        How long a window may wait for others, microseconds; a lone one waits all of it.

    Raises
    ------
    ConfigError
        For numbers that make no sense.
    """

    engine: str = "auto"
    threads: int = 0
    instances: int = 1
    batch: int = 8
    slots: int = 16
    idle_s: float = 30.0
    delay_us: int = 0

    def __post_init__(self) -> None:
        for what, value, least in (
            *(("threads", self.threads, 0), ("instances", self.instances, 1)),
            *(("batch", self.batch, 1), ("slots", self.slots, 1)),
            *(("idle", self.idle_s, 0.1), ("delay", self.delay_us, 0)),
        ):
            if not least <= value <= 1 << 20:
                raise ConfigError(
                    f"{what}: got {value}, expected {least} to {1 << 20}. Choose another number."
                )


def _is_batched(graph: Graph) -> bool:
    """Whether all of its inputs begin with the batch, so that Triton can join calls.

    Of ``categories`` there is one list for all windows of a call.
    """
    return all(each.name != Tensor.CATEGORIES for each in graph[0])


def _tensors(
    tensors: Sequence[GraphTensor], *, is_batched: bool, **extra: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Inputs or outputs; ``extra`` is by name."""
    return [
        {
            "name": each.name,
            "data_type": _TYPES[each.dtype],
            "dims": list(each.shape[1:] if is_batched else each.shape),
            **extra.get(each.name, {}),
        }
        for each in tensors
    ]


def _batching(serving: Serving, preferred: Sequence[int] = ()) -> dict[str, Any]:
    chosen: dict[str, Any] = {"max_queue_delay_microseconds": serving.delay_us}
    return chosen | ({"preferred_batch_size": list(preferred)} if preferred else {})


def graph_config(name: str, graph: Graph, serving: Serving) -> Config:
    """An ONNX graph on Triton's ONNX Runtime backend."""
    is_batched = _is_batched(graph)
    config: dict[str, Any] = {
        "name": name,
        "platform": "onnxruntime_onnx",
        "max_batch_size": serving.batch if is_batched else 0,
        "input": _tensors(graph[0], is_batched=is_batched),
        "output": _tensors(graph[1], is_batched=is_batched),
        "instance_group": [{"count": serving.instances}],
    }
    return config | ({"dynamic_batching": _batching(serving)} if is_batched else {})


def plan_config(
    name: str, plans: Mapping[str, str], graph: Graph, sidecar: Sidecar, serving: Serving
) -> Config:
    """TensorRT engines of one graph on Triton's TensorRT backend, each for its GPU.

    Parameters
    ----------
    name
        Of the model.
    plans
        Compute capability, as ``8.9`` -> file.
    graph
        That they were built from.
    sidecar
        Of one of them: batch and profiles are the same in all.
    serving
        How.
    """
    is_batched = _is_batched(graph)
    extra: dict[str, dict[str, Any]] = {}
    if sidecar.kind == Kind.PLUGIN:
        # They leave the engine channels last.
        extra[Tensor.BASIS] = {"is_non_linear_format_io": True}
    best = sorted({_best_batch(profile) for profile in sidecar.profiles} | {1})
    config: dict[str, Any] = {
        "name": name,
        "platform": "tensorrt_plan",
        "max_batch_size": sidecar.max_batch if is_batched else 0,
        "default_model_filename": PLAN_OF_ANY_GPU,
        "cc_model_filenames": dict(plans),
        "input": _tensors(graph[0], is_batched=is_batched),
        "output": _tensors(graph[1], is_batched=is_batched, **extra),
        "instance_group": [
            {
                "count": serving.instances,
                "kind": "KIND_GPU",
                "profile": [str(number) for number in range(len(sidecar.profiles))],
            }
        ],
    }
    if is_batched:  # then the batch is all that varies, and few graphs hold every call
        specs = [
            {"batch_size": size,
             "input": {each.name: {"dim": list(each.shape[1:])} for each in graph[0]}}
            for size in best
        ]  # fmt: skip
        config["dynamic_batching"] = _batching(serving, best)
        config["optimization"] = {"cuda": {"graphs": True, "graph_spec": specs}}
    return config


def _best_batch(profile: Mapping[str, Any]) -> int:
    return next(int(shapes.best[0]) for name, shapes in profile.items()
                if name != Tensor.CATEGORIES)  # fmt: skip


def pair_config(name: str, network: str, synthesis: str, graphs: Sequence[Graph]) -> Config:
    """An ensemble of network and synthesis: from mixture to sources, all between on the GPU.

    Parameters
    ----------
    name, network, synthesis
        Names of models: its own, and those of the two.
    graphs
        Of the two.
    """
    (mixture,), given = graphs[0]
    taken, sources = graphs[1]
    categories = next(each for each in taken if each.name == Tensor.CATEGORIES)
    heard = [each for each in given if each.name in (Tensor.PRESENCE, Tensor.EMBEDDING)]
    steps = [
        {
            "model_name": model,
            "model_version": -1,
            "input_map": {each.name: each.name for each in inputs},
            "output_map": {each.name: each.name for each in outputs},
        }
        for model, (inputs, outputs) in zip((network, synthesis), graphs, strict=True)
    ]
    return {
        "name": name,
        "platform": "ensemble",
        "max_batch_size": 0,
        "input": _tensors([mixture, categories], is_batched=False),
        "output": _tensors([*sources, *heard], is_batched=False),
        "ensemble_scheduling": {"step": steps},
    }


def as_shared(config: Config, shape: Sequence[int]) -> Config:
    """A synthesis that takes basis maps by the shape [batch, ...] in which the network gives them.

    The bytes are those of its own shape: Triton only has to call them by another name.
    """

    def renamed(given: Mapping[str, Any]) -> Mapping[str, Any]:
        if given["name"] != Tensor.BASIS:
            return given
        return {**given, "dims": list(shape), "reshape": {"shape": given["dims"]}}

    return {**config, "input": [renamed(each) for each in config["input"]]}


def _python(name: str, bundle: Bundle, serving: Serving) -> dict[str, Any]:
    """What models of the Python backend have in common."""
    facts = {
        wire.CONFIG_KEY: json.dumps(bundle.config.to_dict()),
        wire.IDENTITY_KEY: bundle.identity,
        wire.NAME_KEY: bundle.name,
        wire.ENGINE_KEY: serving.engine,
        wire.THREADS_KEY: str(serving.threads),
        wire.IDLE_KEY: f"{serving.idle_s:g}",
    }
    kind = "KIND_GPU" if serving.engine != "auto" and runs_on_gpu(serving.engine) else "KIND_CPU"
    return {
        "name": name,
        "backend": "python",
        "instance_group": [{"count": serving.instances, "kind": kind}],
        "parameters": {key: {"string_value": text} for key, text in facts.items()},
    }


def windows_config(bundle: Bundle, serving: Serving) -> Config:
    """The model ``windows``."""
    samples, known = bundle.config.window_samples, len(bundle.config.categories)
    inputs = [GraphTensor(Tensor.MIXTURE, "float32", (-1, samples)),
              GraphTensor(Tensor.CATEGORIES, "int64", (-1, -1))]  # fmt: skip
    outputs = [GraphTensor(Tensor.SOURCES, "float32", (-1, -1, samples)),
               GraphTensor(Tensor.PRESENCE, "float32", (-1, known))]  # fmt: skip
    # Calls that want different categories are joined all the same.
    ragged = {Tensor.CATEGORIES: {"allow_ragged_batch": True}}
    return _python(wire.WINDOWS, bundle, serving) | {
        "max_batch_size": serving.batch,
        "input": _tensors(inputs, is_batched=True, **ragged),
        "output": _tensors(outputs, is_batched=True),
        "dynamic_batching": _batching(serving),
    }


def live_config(bundle: Bundle, serving: Serving) -> Config:
    """The model ``live``."""
    known = len(bundle.config.categories)
    outputs = [
        GraphTensor(Tensor.SOURCES, "float32", (-1, -1, -1, -1)),
        GraphTensor(Tensor.PRESENCE, "float32", (-1, known)),
        GraphTensor(wire.PRESENT, "bool", (-1, known)),
        GraphTensor(wire.LATENCY, "int64", (-1, 1)),
    ]
    flags = {
        wire.START: "CONTROL_SEQUENCE_START",
        wire.READY: "CONTROL_SEQUENCE_READY",
        wire.END: "CONTROL_SEQUENCE_END",
    }
    controls = [
        {"name": name, "control": [{"kind": kind, "fp32_false_true": [0.0, 1.0]}]}
        for name, kind in flags.items()
    ]
    number = {"kind": "CONTROL_SEQUENCE_CORRID", "data_type": "TYPE_UINT64"}
    return _python(wire.LIVE, bundle, serving) | {
        "max_batch_size": serving.slots,
        "input": _tensors([GraphTensor(wire.AUDIO, "float32", (-1, -1, -1))], is_batched=True),
        "output": _tensors(outputs, is_batched=True),
        "model_transaction_policy": {"decoupled": True},
        "sequence_batching": {
            "direct": {},
            "max_sequence_idle_microseconds": round(serving.idle_s * 1e6),
            "control_input": [*controls, {"name": wire.CORRELATION, "control": [number]}],
        },
    }


def model_name(kind: Kind, precision: Precision, runtime: str) -> str:
    """Of a graph's model: plain letters, e.g. ``waveform_fp16_onnx``."""
    return f"{kind}_{precision}_{runtime}"


def as_text(config: Config) -> str:
    """A configuration as the text of `config.pbtxt`.

    Raises
    ------
    DependencyError
        If tritonclient, which knows the format, is not installed.
    """
    messages = require(
        "tritonclient.grpc.model_config_pb2", extra="triton", purpose="sgn-rt triton"
    )
    json_format = require("google.protobuf.json_format", extra="triton", purpose="sgn-rt triton")
    text_format = require("google.protobuf.text_format", extra="triton", purpose="sgn-rt triton")
    message = json_format.ParseDict(dict(config), messages.ModelConfig())
    return str(text_format.MessageToString(message))
