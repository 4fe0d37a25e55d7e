"""A deserialised engine, shared between threads, and its execution contexts."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sgn_rt.errors import EngineError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import GRAPH_INPUTS, GRAPH_OUTPUTS, Tensor
from sgn_rt.tensorrt.bindings import TensorRT, deserialize
from sgn_rt.tensorrt.build.callbacks import Log, make_logger
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.run.jit import KernelCache, eager_config
from sgn_rt.tensorrt.sidecar import Sidecar

if TYPE_CHECKING:
    import tensorrt as api

_TYPES: Final = {Tensor.CATEGORIES: ("INT64", 8)}
_FLOAT: Final = ("FLOAT", 4)


def item_size(name: Tensor) -> int:
    """Bytes of an element of an input or output."""
    return _TYPES.get(name, _FLOAT)[1]


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """Sizes of one execution: windows and sources."""

    batch: int
    sources: int

    def shape(self, name: Tensor, config: ModelConfig) -> tuple[int, ...]:
        """Shape of an input or output."""
        categories = len(config.categories)
        shapes: dict[Tensor, tuple[int, ...]] = {
            Tensor.MIXTURE: (self.batch, config.window_samples),
            Tensor.CATEGORIES: (self.sources,),
            Tensor.SOURCES: (self.batch, self.sources, config.window_samples),
            Tensor.PRESENCE: (self.batch, categories),
            Tensor.EMBEDDING: (self.batch, categories, config.embedding_dim),
        }
        return shapes[name]

    def nbytes(self, name: Tensor, config: ModelConfig) -> int:
        """Bytes of an input or output."""
        count = item_size(name)
        for size in self.shape(name, config):
            count *= size
        return count


class LoadedEngine:
    """A deserialised engine whose inputs and outputs are those of the contract.

    Attributes
    ----------
    sidecar
        Its description.
    config
        The model's configuration.
    max_batch, max_sources
        Largest sizes of a call.
    tensors
        Names of inputs and outputs.
    lock
        Held while a context is made, and to be held while a graph is captured: what the one does
        breaks the other.

    Raises
    ------
    EngineError
        If TensorRT does not take it, or it is not of this model.
    """

    def __init__(
        self,
        trt: TensorRT,
        device: Device,
        config: ModelConfig,
        sidecar: Sidecar,
        content: bytes,
        plugins: Path | None,
    ) -> None:
        self.sidecar, self.config = sidecar, config
        self._kernels = KernelCache(sidecar, device.capability) if trt.is_rtx else None
        self.lock = threading.Lock()
        self._trt, self._log = trt, Log(errors_only=True)
        self.inputs, self.outputs = GRAPH_INPUTS[sidecar.kind], GRAPH_OUTPUTS[sidecar.kind]
        self.tensors = (*self.inputs, *self.outputs)
        largest = sidecar.profiles
        self.max_batch = largest[Tensor.MIXTURE].largest[0]
        self.max_sources = largest[Tensor.CATEGORIES].largest[0]
        # TensorRT keeps the logger's address: it lives as long as this does.
        self._logger = make_logger(trt.module, self._log)
        with device.current():
            try:
                runtime: api.Runtime = trt.module.Runtime(self._logger)
            except (TypeError, RuntimeError) as error:  # where the library gives nullptr
                raise self._failed(f"no runtime: {error}") from error
            engine: api.ICudaEngine | None = deserialize(
                trt, runtime, content, plugins, host_code=sidecar.version_compatible
            )
        self._runtime = runtime
        if engine is None:
            raise self._failed("an engine that does not deserialise")
        self._engine = engine
        self._check()

    def _check(self) -> None:
        engine = self._engine
        count: int = engine.num_io_tensors
        found = {engine.get_tensor_name(i) for i in range(count)}
        if found != {str(name) for name in self.tensors}:
            raise self._failed(
                f"tensors {', '.join(sorted(found))} instead of {', '.join(self.tensors)}"
            )
        for name in self.tensors:
            expected = _TYPES.get(name, _FLOAT)[0]
            dtype = engine.get_tensor_dtype(str(name)).name
            if dtype != expected:
                raise self._failed(f"{name} of type {dtype} instead of {expected}")
            mode = engine.get_tensor_mode(str(name)).name
            if mode != ("INPUT" if name in self.inputs else "OUTPUT"):
                raise self._failed(f"{name} as {mode}")

    def new_context(self) -> Context:
        """A new execution context, for one thread at a time; the device has to be current.

        Raises
        ------
        EngineError
            If there is no memory for it.
        """
        with self.lock:
            self._log.errors.clear()
            context: api.IExecutionContext | None
            if self._kernels is not None:
                config = self._rtx_config(self._kernels)
                context = self._engine.create_execution_context(config)
            else:
                context = self._engine.create_execution_context()
            if context is None:
                raise self._failed("no execution context")
        return Context(self, context)

    def _rtx_config(self, kernels: KernelCache) -> Any:
        config = eager_config(self._trt, self._engine)
        if config is None:
            raise self._failed("no runtime configuration")
        kernels.attach(config)
        return config

    def keep_kernels(self) -> None:
        """Keep what was compiled for this GPU, for the next start; full TensorRT compiles none."""
        if self._kernels is not None:
            self._kernels.save()

    def _failed(self, what: str) -> EngineError:
        return EngineError(
            f"engine {self.sidecar.name}: got {what} ({self._log.reason}), expected one that "
            f"{self._trt} runs. Run `{self.sidecar.build_command}`"
        )

    def reason(self) -> str:
        """What TensorRT last said of an error."""
        return self._log.reason


class Context:
    """An execution context. Every False is an error."""

    def __init__(self, loaded: LoadedEngine, context: Any) -> None:
        # In this order, as they go in it: the context before the engine.
        self._context: api.IExecutionContext = context
        self._loaded = loaded

    def set_call(self, call: Call) -> None:
        """Set the inputs' shapes, and see that the outputs' follow.

        Raises
        ------
        EngineError
            If the engine does not take them, or answers with others.
        """
        loaded = self._loaded
        for name in loaded.inputs:
            shape = call.shape(name, loaded.config)
            if not self._context.set_input_shape(str(name), shape):
                raise self._failed(f"shape {shape} of {name} refused")
        try:
            missing = self._context.infer_shapes()
        except RuntimeError as error:
            raise self._failed(f"no shapes: {error}") from error
        if missing:
            raise self._failed(f"no shapes for {', '.join(missing)}")
        for name in loaded.outputs:
            expected = call.shape(name, loaded.config)
            dims = self._context.get_tensor_shape(str(name))
            shape = tuple(dims[i] for i in range(len(dims)))
            if shape != expected:
                raise self._failed(f"{name} of shape {shape} instead of {expected}")

    def set_address(self, name: Tensor, address: int) -> None:
        """Say where a tensor lies on the device."""
        if not self._context.set_tensor_address(str(name), address):
            raise self._failed(f"address of {name} refused")

    def execute(self, stream: int) -> None:
        """Give the work to a stream."""
        if not self._context.execute_async_v3(stream):
            raise self._failed("no execution")

    def _failed(self, what: str) -> EngineError:
        return EngineError(
            f"engine {self._loaded.sidecar.name}: got {what} ({self._loaded.reason()}), expected "
            "it to "
            "run. Choose another engine, and report this."
        )
