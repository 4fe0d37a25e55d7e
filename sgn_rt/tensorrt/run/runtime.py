"""A deserialised engine, shared between threads, and its execution contexts."""

from __future__ import annotations

import math
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sgn_rt.errors import EngineError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import Tensor, type_of
from sgn_rt.model.shapes import inputs_of, outputs_of, shape_of
from sgn_rt.tensorrt.bindings import TensorRT, deserialize
from sgn_rt.tensorrt.build.callbacks import Log, make_logger
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.plugins.kernels import Kernels
from sgn_rt.tensorrt.run.jit import KernelCache, eager_config
from sgn_rt.tensorrt.sidecar import Sidecar

if TYPE_CHECKING:
    import tensorrt as api

_TYPES: Final = {"float32": "FLOAT", "float16": "HALF", "int64": "INT64"}
"""TensorRT's names of types."""


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """Sizes of one execution: windows and sources."""

    batch: int
    sources: int


class LoadedEngine:
    """A deserialised engine whose inputs and outputs are those of the contract.

    Attributes
    ----------
    sidecar
        Its description.
    config
        The model's configuration.
    max_batch, max_sources
        Largest sizes of a call; no sources where it has none.
    inputs, outputs, tensors
        Names of inputs, of outputs, and of both.
    lock
        Held while a context is made, and to be held while a graph is captured and while a shape
        runs for the first time: what the one does breaks the other. Two halves of a pair have one.

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
        lock: threading.Lock | None = None,
    ) -> None:
        self.sidecar, self.config = sidecar, config
        self._kernels = KernelCache(sidecar, device.capability) if trt.is_rtx else None
        self.lock = threading.Lock() if lock is None else lock
        self._trt, self._log, self._device = trt, Log(errors_only=True), device
        self.inputs = inputs_of(sidecar.kind, config)
        self.outputs = outputs_of(sidecar.kind, config)
        self.tensors = (*self.inputs, *self.outputs)
        profiles = sidecar.profiles
        self.batches = [profile[self.inputs[0]].largest[0] for profile in profiles]
        self.max_batch = max(self.batches)
        widest = profiles[-1].get(Tensor.CATEGORIES)
        self.max_sources = 0 if widest is None else widest.largest[0]
        # TensorRT keeps the logger's address: it lives as long as this does.
        self._logger = make_logger(trt.module, self._log)
        with device.current():
            try:
                runtime: api.Runtime = trt.module.Runtime(self._logger)
            except (TypeError, RuntimeError) as error:  # where the library gives nullptr
                raise self._failed(f"no runtime: {error}") from error
            self._runtime = runtime
            # In no variable beside: a traceback would hold it beyond what is freed here.
            self._engine: api.ICudaEngine = deserialize(
                trt, runtime, content, plugins, host_code=sidecar.version_compatible
            )
        if self._engine is None:
            raise self._failed("an engine that does not deserialise")
        self._check()

    def _check(self) -> None:
        count: int = self._engine.num_io_tensors
        found = {self._engine.get_tensor_name(i) for i in range(count)}
        if found != {str(name) for name in self.tensors}:
            raise self._failed(
                f"tensors {', '.join(sorted(found))} instead of {', '.join(self.tensors)}"
            )
        for name in self.tensors:
            expected = _TYPES[self.dtype(name)]
            dtype = self._engine.get_tensor_dtype(str(name)).name
            if dtype != expected:
                raise self._failed(f"{name} of type {dtype} instead of {expected}")
            mode = self._engine.get_tensor_mode(str(name)).name
            if mode != ("INPUT" if name in self.inputs else "OUTPUT"):
                raise self._failed(f"{name} as {mode}")

    def dtype(self, name: Tensor) -> str:
        """Type of an input or output, as NumPy names it."""
        return type_of(self.sidecar.kind, name, self.sidecar.precision)

    def shape(self, name: Tensor, call: Call) -> tuple[int, ...]:
        """Shape of an input or output in a call."""
        kind = self.sidecar.kind
        return shape_of(kind, name, self.config, batch=call.batch, sources=call.sources)

    def nbytes(self, name: Tensor, call: Call) -> int:
        """Bytes of an input or output in a call."""
        return math.prod(self.shape(name, call)) * np.dtype(self.dtype(name)).itemsize

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
        return Context(self, context, self._device)

    def __del__(self) -> None:
        # TensorRT frees on whatever device is current. Without an engine where it did not load.
        with suppress(AttributeError, EngineError), self._device.current():
            del self._engine, self._runtime

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

    def __init__(self, loaded: LoadedEngine, context: Any, device: Device) -> None:
        # In this order, as they go in it: the context before the engine.
        self._context: api.IExecutionContext = context
        self._loaded, self._device = loaded, device
        self._profile = 0

    def __del__(self) -> None:
        with suppress(AttributeError, EngineError), self._device.current():
            del self._context

    def set_call(self, call: Call, stream: int) -> None:
        """Set the inputs' shapes, and see that the outputs' follow.

        Raises
        ------
        EngineError
            If the engine does not take them, or answers with others.
        """
        loaded = self._loaded
        self._choose_profile(call.batch, stream)
        for name in loaded.inputs:
            shape = loaded.shape(name, call)
            if not self._context.set_input_shape(str(name), shape):
                raise self._failed(f"shape {shape} of {name} refused")
        try:
            missing = self._context.infer_shapes()
        except RuntimeError as error:
            raise self._failed(f"no shapes: {error}") from error
        if missing:
            raise self._failed(f"no shapes for {', '.join(missing)}")
        for name in loaded.outputs:
            expected = loaded.shape(name, call)
            dims = self._context.get_tensor_shape(str(name))
            shape = tuple(dims[i] for i in range(len(dims)))
            if shape != expected:
                raise self._failed(f"{name} of shape {shape} instead of {expected}")

    def _choose_profile(self, batch: int, stream: int) -> None:
        """Kernels chosen for batches of about this size: the first profile that takes it."""
        batches = self._loaded.batches
        fitting = (index for index, largest in enumerate(batches) if largest >= batch)
        profile = next(fitting, len(batches) - 1)
        if profile != self._profile:
            if not self._context.set_optimization_profile_async(profile, stream):
                raise self._failed(f"profile {profile} refused")
            self._profile = profile

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
            "it to run. Choose another engine, and report this."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What runs a model on one device, shared between threads.

    Attributes
    ----------
    device
        Where.
    network
        From the mixture to what sources are made of; or whole, to the sources themselves.
    synthesis
        From there to the sources; None where the network is whole.
    kernels
        Of the plugin library; None where the engines have no plugins.
    """

    device: Device
    network: LoadedEngine
    synthesis: LoadedEngine | None = None
    kernels: Kernels | None = None

    @property
    def last(self) -> LoadedEngine:
        """What gives the sources."""
        return self.synthesis or self.network

    @property
    def max_batch(self) -> int:
        """Windows of a call at most."""
        return min(self.network.max_batch, self.last.max_batch)

    def keep_kernels(self) -> None:
        """Keep what was compiled for this GPU, for the next start."""
        with self.device.current():
            for loaded in {self.network, self.last}:
                loaded.keep_kernels()
