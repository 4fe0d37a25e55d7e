"""The host build of the plugins (csrc/), called step by step as TensorRT calls a plugin."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sgn_rt.model.contract import PluginOp
from sgn_rt.tensorrt.plugins.kernels import FilterTables, Kernels

FLOAT32, FLOAT16, INT32 = 0, 1, 3  # nvinfer1::DataType
DTYPES = {np.dtype(np.float32): FLOAT32, np.dtype(np.float16): FLOAT16}
NUMPY = {number: dtype for dtype, number in DTYPES.items()}
FIELD_FLOAT32, FIELD_INT32 = 1, 5  # nvinfer1::PluginFieldType
OUTPUTS = {PluginOp.STFT: 2, PluginOp.ISTFT: 1}


class Field(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("type", ctypes.c_int32),
        ("length", ctypes.c_int32),
    )


class TensorDesc(ctypes.Structure):
    _fields_ = (
        ("rank", ctypes.c_int32),
        ("type", ctypes.c_int32),
        ("format", ctypes.c_int32),
        ("dims", ctypes.c_int64 * 8),
    )

    @classmethod
    def of(cls, shape: Sequence[int], dtype: np.dtype | int) -> TensorDesc:
        number = dtype if isinstance(dtype, int) else DTYPES[np.dtype(dtype)]
        return cls(len(shape), number, 0, (ctypes.c_int64 * 8)(*shape))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.dims[: self.rank])


class Counters(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_longlong)
        for name in ("device_calls", "device_alive", "fft_setup", "plans_alive", "fft_runs", "heap")
    )


class Settings(ctypes.Structure):
    _fields_ = (
        ("work_bytes", ctypes.c_longlong),
        ("fail_allocation", ctypes.c_int),
        ("fail_load", ctypes.c_int),
        ("fail_fft", ctypes.c_int),
        ("cache_bytes", ctypes.c_longlong),
    )


@dataclass(frozen=True)
class RawField:
    """A field as it arrives, right or wrong."""

    type: int
    length: int
    data: bytes | None


def raw(value: float) -> RawField:
    if isinstance(value, int):
        return RawField(FIELD_INT32, 1, np.int32(value).tobytes())
    return RawField(FIELD_FLOAT32, 1, np.float32(value).tobytes())


class RefusedError(Exception):
    """The plugin answered with a failure; the text is its message."""


def descs(tensors: Sequence[TensorDesc]) -> ctypes.Array[TensorDesc]:
    return (TensorDesc * len(tensors))(*tensors)


class Host:
    """The host build of the library, or the driver built for a GPU."""

    def __init__(self, path: Path) -> None:
        self.lib = ctypes.CDLL(str(path))
        for name in ("creator", "create", "create_from", "clone", "attach", "allocate"):
            getattr(self.lib, f"sgn_test_{name}").restype = ctypes.c_void_p
        for name in ("sgn_test_message", "sgn_rt_plugin_version", "sgn_test_creator_namespace",
                     "sgn_test_creator_version"):  # fmt: skip
            getattr(self.lib, name).restype = ctypes.c_char_p
        self.lib.sgn_test_workspace.restype = ctypes.c_size_t
        self.lib.sgn_test_settings.restype = ctypes.POINTER(Settings)
        self.lib.sgn_test_counters.restype = ctypes.POINTER(Counters)
        self.on_gpu = hasattr(self.lib, "sgn_test_gpus")
        self.settings = self.lib.sgn_test_settings().contents

    @property
    def counters(self) -> Counters:
        return self.lib.sgn_test_counters().contents

    def message(self) -> str:
        return self.lib.sgn_test_message().decode(errors="replace")

    def creator(self, op: str) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.lib.sgn_test_creator(op.encode()))

    def create(
        self,
        op: PluginOp,
        fields: Mapping[str, float] | Sequence[tuple[str, RawField]],
        phase: int = 0,
    ) -> Node:
        """Through the creator; raises RefusedError with the library's message."""
        pairs = list(fields.items()) if isinstance(fields, Mapping) else list(fields)
        array = (Field * max(len(pairs), 1))()
        kept = []
        for slot, (name, value) in zip(array, pairs, strict=False):
            field = value if isinstance(value, RawField) else raw(value)
            # One byte off, so that nothing relies on the alignment of a field.
            data = (
                None
                if field.data is None
                else ctypes.create_string_buffer(b"\0" + field.data, len(field.data) + 1)
            )
            kept.append(data)
            slot.name = name.encode()
            slot.data = None if data is None else ctypes.addressof(data) + 1
            slot.type, slot.length = field.type, field.length
        self.lib.sgn_test_begin()
        pointer = self.lib.sgn_test_create(self.creator(op), array, len(pairs), phase)
        if not pointer:
            raise RefusedError(self.message())
        return Node(self, op, pointer)

    @contextmanager
    def memory(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """Exactly that many bytes, all of them 0xff: their address and a view."""
        address = self.lib.sgn_test_allocate(ctypes.c_size_t(size))
        try:
            room = (ctypes.c_uint8 * size).from_address(address) if size else ()
            yield address, np.ctypeslib.as_array(room) if size else np.empty(0, np.uint8)
        finally:
            self.lib.sgn_test_free(ctypes.c_void_p(address))

    @contextmanager
    def tensor(self, desc: TensorDesc) -> Iterator[tuple[int, np.ndarray]]:
        """Memory of exactly a tensor's size, filled with NaN: its address and a view."""
        dtype = NUMPY[desc.type]
        with self.memory(int(np.prod(desc.shape, dtype=np.int64)) * dtype.itemsize) as (
            address,
            room,
        ):
            yield address, room.view(dtype).reshape(desc.shape)


class Node:
    """One plugin object."""

    def __init__(self, host: Host, op: PluginOp, pointer: int) -> None:
        self.host, self.op, self.pointer = host, op, ctypes.c_void_p(pointer)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.host.lib.sgn_test_destroy(self.pointer)

    def _call(self, function: str, *arguments: object) -> int:
        self.host.lib.sgn_test_begin()
        return getattr(self.host.lib, function)(self.pointer, *arguments)

    def _twin(self, function: str) -> Node:
        pointer = self._call(function)
        if not pointer:
            raise RefusedError(self.host.message())
        return Node(self.host, self.op, pointer)

    def clone(self) -> Node:
        return self._twin("sgn_test_clone")

    def attach(self) -> Node:
        return self._twin("sgn_test_attach")

    def serialised(self) -> dict[str, float]:
        array = (Field * 16)()
        count = self._call("sgn_test_serialised", array, 16)
        kinds = {FIELD_INT32: ctypes.c_int32, FIELD_FLOAT32: ctypes.c_float}
        return {
            field.name.decode(): kinds[field.type].from_address(field.data).value
            for field in array[:count]
        }

    def infer(self, inputs: Sequence[TensorDesc], outputs: int | None = None) -> list[TensorDesc]:
        out = (TensorDesc * 4)()
        count = OUTPUTS[self.op] if outputs is None else outputs
        if self._call("sgn_test_infer", descs(inputs), len(inputs), out, count) != 0:
            raise RefusedError(self.host.message())
        return [TensorDesc.of(desc.shape, desc.type) for desc in out[:count]]

    def supports(self, position: int, tensors: Sequence[TensorDesc], inputs: int) -> bool:
        return bool(
            self._call("sgn_test_supports", position, descs(tensors), inputs, len(tensors) - inputs)
        )

    def configure(self, inputs: Sequence[TensorDesc], outputs: Sequence[TensorDesc]) -> None:
        if (
            self._call(
                "sgn_test_configure", descs(inputs), len(inputs), descs(outputs), len(outputs)
            )
            != 0
        ):
            raise RefusedError(self.host.message())

    def workspace(self, inputs: Sequence[TensorDesc], outputs: Sequence[TensorDesc]) -> int:
        return self._call(
            "sgn_test_workspace", descs(inputs), len(inputs), descs(outputs), len(outputs)
        )

    def shape_change(self, inputs: Sequence[TensorDesc], outputs: Sequence[TensorDesc]) -> None:
        if (
            self._call(
                "sgn_test_shape_change", descs(inputs), len(inputs), descs(outputs), len(outputs)
            )
            != 0
        ):
            raise RefusedError(self.host.message())

    def enqueue(
        self, inputs: Sequence[TensorDesc], outputs: Sequence[TensorDesc], read: Sequence[int],
        written: Sequence[int], workspace: int | None,
    ) -> Counters:  # fmt: skip
        spent = Counters()
        status = self._call(
            "sgn_test_enqueue", descs(inputs), len(inputs), descs(outputs), len(outputs),
            (ctypes.c_void_p * 4)(*read), (ctypes.c_void_p * 4)(*written),
            ctypes.c_void_p(workspace), ctypes.byref(spent),
        )  # fmt: skip
        if status != 0:
            raise RefusedError(self.host.message())
        return spent

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Shapes and addresses set, one enqueue; the inputs must be left as they were."""
        inputs = [TensorDesc.of(array.shape, array.dtype) for array in arrays]
        outputs = self.infer(inputs)
        for position in range(len(inputs) + len(outputs)):
            assert self.supports(position, [*inputs, *outputs], len(inputs))
        self.configure(inputs, outputs)
        self.shape_change(inputs, outputs)
        work = TensorDesc.of((self.workspace(inputs, outputs) // 4,), np.float32)
        with ExitStack() as stack:
            read = [stack.enter_context(self.host.tensor(desc)) for desc in inputs]
            written = [stack.enter_context(self.host.tensor(desc)) for desc in outputs]
            workspace, _ = stack.enter_context(self.host.tensor(work))
            for (_, view), array in zip(read, arrays, strict=True):
                view[...] = array
            spent = self.enqueue(
                inputs,
                outputs,
                [address for address, _ in read],
                [address for address, _ in written],
                workspace,
            )
            for (_, view), array in zip(read, arrays, strict=True):
                np.testing.assert_array_equal(view, array, err_msg="a plugin wrote to its input")
            self.spent = spent
            return [view.copy() for _, view in written]


@dataclass(frozen=True, slots=True)
class HostLauncher:
    """`Launcher` of a `PolyphaseResampler` by the host build, whose device is host memory."""

    kernels: Kernels

    def __call__(
        self, filter_: FilterTables, source: np.ndarray, span: np.ndarray, count: int
    ) -> np.ndarray:
        out = np.empty((len(source), count), np.float32)
        self.kernels.resample(
            source=source.ctypes.data,
            spans=span.ctypes.data,
            out=out.ctypes.data,
            coefficients=filter_.coefficients.ctypes.data,
            places=filter_.places.ctypes.data,
            shape=(1, *source.shape),
            count=count,
            filter_=filter_,
            stream=0,
        )
        return out


@contextmanager
def through_tensorrt(host: Host, op: PluginOp, fields: Mapping[str, float]) -> Iterator[Node]:
    """A plugin that was created, cloned, serialised, created again and attached."""
    with host.create(op, fields) as built, built.clone() as cloned:
        stored = cloned.serialised()
        assert stored == pytest.approx(
            dict(fields) | {"window_length": fields.get("window_length", fields["n_fft"])}
        )
        with host.create(op, stored, phase=1) as loaded, loaded.attach() as attached:
            yield attached
