"""A serialised engine run a single time, on any inputs and outputs: for checks, not for service."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.bindings import TensorRT, deserialize
from sgn_rt.tensorrt.build.callbacks import Log, make_logger
from sgn_rt.tensorrt.device.protocol import Device, Memory, Pinned
from sgn_rt.tensorrt.run.jit import eager_config

if TYPE_CHECKING:
    import tensorrt as api

Arrays = dict[str, NDArray[Any]]

_TYPES: Final = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT64": np.int64,
    "INT32": np.int32,
    "BOOL": np.bool_,
}


def run_once(
    trt: TensorRT,
    device: Device,
    content: bytes,
    library: Path | None,
    inputs: Mapping[str, NDArray[Any]],
) -> Arrays:
    """Deserialise an engine, run it, and let go of it.

    Parameters
    ----------
    trt, device
        What runs it.
    content
        The engine.
    library
        The plugin library; None for an engine without plugins.
    inputs
        By name; dense, of the engine's types.

    Returns
    -------
    dict
        Every output of the engine by name.

    Raises
    ------
    EngineError
        If it does not deserialise, refuses an input, or does not run.
    """
    log = Log()
    with device.current():
        loaded = _Loaded()
        try:
            loaded.load(trt, content, library, log)
            return _run(device, loaded, inputs, log)
        finally:
            loaded.let_go()


class _Loaded:
    """What TensorRT made, in this one place: it frees on the device that is current then.

    In a variable of any function beside, a traceback would hold it beyond that.
    """

    runtime: api.Runtime
    engine: api.ICudaEngine
    context: api.IExecutionContext

    def load(self, trt: TensorRT, content: bytes, library: Path | None, log: Log) -> None:
        self.logger = make_logger(trt.module, log)  # TensorRT keeps its address
        try:
            self.runtime = trt.module.Runtime(self.logger)
        except (TypeError, RuntimeError) as error:  # where the library gives nullptr
            raise _failed(f"no runtime: {error}", log) from error
        self.engine = deserialize(trt, self.runtime, content, library, host_code=False)
        if self.engine is None:
            raise _failed("an engine that does not deserialise", log)
        self.context = self._new_context(trt)
        if self.context is None:
            raise _failed("no execution context", log)

    def _new_context(self, trt: TensorRT) -> Any:
        if not trt.is_rtx:
            return self.engine.create_execution_context()
        config = eager_config(trt, self.engine)
        return None if config is None else self.engine.create_execution_context(config)

    def let_go(self) -> None:
        for name in ("context", "engine", "runtime"):
            self.__dict__.pop(name, None)


def _run(device: Device, loaded: _Loaded, inputs: Mapping[str, NDArray[Any]], log: Log) -> Arrays:
    for name, array in inputs.items():
        if not loaded.context.set_input_shape(name, array.shape):
            raise _failed(f"shape {array.shape} of {name} refused", log)
    arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
    outputs = {name: array for name, array in _tensors(loaded, log) if name not in inputs}
    arrays |= outputs
    memories: dict[str, Memory] = {}
    staging: dict[str, Pinned] = {}
    stream = device.stream()
    try:
        for name, array in arrays.items():
            # An empty array still has an address.
            size = max(array.nbytes, 1)
            memory, pinned = device.allocate(size), device.allocate_pinned(size)
            memories[name], staging[name] = memory, pinned
            pinned.array[: array.nbytes] = array.reshape(-1).view(np.uint8)
            device.upload(memory.address, pinned, array.nbytes, stream)
            if not loaded.context.set_tensor_address(name, memory.address):
                raise _failed(f"address of {name} refused", log)
        if not loaded.context.execute_async_v3(stream.handle):
            raise _failed("no execution", log)
        for name, array in outputs.items():
            device.download(staging[name], memories[name].address, array.nbytes, stream)
        stream.synchronize()
        for name, array in outputs.items():
            array.reshape(-1).view(np.uint8)[:] = staging[name].array[: array.nbytes]
    finally:
        closers = [memory.close for memory in memories.values()]
        closers += [pinned.close for pinned in staging.values()]
        for close in (*closers, stream.close):
            with suppress(EngineError):  # whatever failed has been raised where it did
                close()
    return outputs


def _tensors(loaded: _Loaded, log: Log) -> list[tuple[str, NDArray[Any]]]:
    """Arrays for every tensor of the engine, of the shapes that follow from the inputs'."""
    missing = loaded.context.infer_shapes()
    if missing:
        raise _failed(f"no shapes for {', '.join(missing)}", log)
    arrays: list[tuple[str, NDArray[Any]]] = []
    for index in range(loaded.engine.num_io_tensors):
        name = str(loaded.engine.get_tensor_name(index))
        dims = loaded.context.get_tensor_shape(name)
        dtype = _TYPES[loaded.engine.get_tensor_dtype(name).name]
        arrays.append((name, np.zeros([dims[i] for i in range(len(dims))], dtype)))
    return arrays


def _failed(what: str, log: Log) -> EngineError:
    return EngineError(
        f"engine run once: got {what} ({log.reason}), expected it to run. "
        "Build it and the plugin library again, and report this."
    )
