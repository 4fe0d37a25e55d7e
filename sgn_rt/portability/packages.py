"""Consumers that are packages of Python: ONNX Runtime, ONNX's own evaluator, OpenVINO, tract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from sgn_rt._optional import installed_version, require
from sgn_rt.engines.onnxruntime_session import Runs
from sgn_rt.portability.consumer import EXTRA, Consumer, GraphFile, picked

Inputs = Mapping[str, NDArray[Any]]


class OnnxRuntime(Consumer):
    """ONNX Runtime on the CPU, as it comes."""

    name = "onnxruntime"

    def version(self) -> str:
        """As `Consumer.version`."""
        return str(self._package().__version__)

    def _package(self) -> Any:
        return require("onnxruntime", extra=EXTRA, purpose=self.name)

    def open(self, graph: GraphFile) -> Runs:
        """As `Consumer.open`."""
        ort = self._package()
        options = ort.SessionOptions()
        options.log_severity_level = 4  # what it refuses, it says in its exception
        return _Session(
            ort.InferenceSession(str(graph.path), options, providers=["CPUExecutionProvider"])
        )


class _Session:
    def __init__(self, session: Any) -> None:
        self._session = session

    def run(self, outputs: Sequence[str], inputs: Inputs) -> list[Any]:
        return list(self._session.run(list(outputs), dict(inputs)))

    def close(self) -> None:
        self._session = None


class OnnxReference(Consumer):
    """The evaluator that comes with ONNX: the specification in NumPy, of no speed at all."""

    name = "onnx.reference"
    quick = True

    def version(self) -> str:
        """As `Consumer.version`."""
        return str(require("onnx", extra=EXTRA, purpose=self.name).__version__)

    def open(self, graph: GraphFile) -> Runs:
        """As `Consumer.open`."""
        return _Session(import_module("onnx.reference").ReferenceEvaluator(str(graph.path)))


class OpenVino(Consumer):
    """OpenVINO on the CPU, in float32: left alone it takes bfloat16 where there is some."""

    name = "openvino"

    def version(self) -> str:
        """As `Consumer.version`."""
        return str(self._package().__version__).partition("-")[0]

    def _package(self) -> Any:
        return require("openvino", extra=EXTRA, purpose=self.name)

    def open(self, graph: GraphFile) -> Runs:
        """As `Consumer.open`."""
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        return _Compiled(self._package().compile_model(str(graph.path), "CPU", options))


class _Compiled:
    def __init__(self, model: Any) -> None:
        self._model = model

    def run(self, outputs: Sequence[str], inputs: Inputs) -> list[Any]:
        answer = self._model.create_infer_request().infer(dict(inputs))
        return [answer[str(name)].copy() for name in outputs]

    def close(self) -> None:
        self._model = None


class Tract(Consumer):
    """tract, of Rust; it knows the graph's axes by their names."""

    name = "tract"

    def version(self) -> str:
        """As `Consumer.version`."""
        require("tract", extra=EXTRA, purpose=self.name)
        return installed_version("tract") or "unknown"

    def open(self, graph: GraphFile) -> Runs:
        """As `Consumer.open`."""
        tract = require("tract", extra=EXTRA, purpose=self.name)
        model = tract.onnx().load(str(graph.path))
        names = [model.input_name(i) for i in range(model.input_count())]
        return _Runnable(model.into_model().into_runnable(), names, graph.outputs)


class _Runnable:
    def __init__(self, runnable: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self._runnable, self._inputs, self._outputs = runnable, inputs, outputs

    def run(self, outputs: Sequence[str], inputs: Inputs) -> list[Any]:
        values = self._runnable.run([inputs[name] for name in self._inputs])
        return picked(self._outputs, outputs, [value.to_numpy() for value in values])

    def close(self) -> None:
        self._runnable = None
