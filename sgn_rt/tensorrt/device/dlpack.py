"""DLPack by hand: tensors of other libraries in, memory of ours out, with nothing copied."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sgn_rt.errors import EngineError

_CODES: Final = {0: "int", 1: "uint", 2: "float"}
_CUDA: Final = (2, 13)
"""Device types that have streams: CUDA's memory, and its managed memory."""
_NAME, _USED_NAME = b"dltensor", b"used_dltensor"


class _Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("id", ctypes.c_int32)]


class _Type(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter)]
_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

_api = ctypes.pythonapi
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, _Destructor]
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", _api)
)
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", _api)
)
_rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_SetName", _api)
)
# In a destructor the capsule has no references left: it is handed on as an address.
_is_valid_at = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", _api)
)
_pointer_at = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", _api)
)


@dataclass(frozen=True, slots=True)
class DeviceArray:
    """A dense, row-major array on a device.

    Attributes
    ----------
    address
        Of its first element.
    shape, dtype
        As NumPy's.
    device
        Type and number as DLPack has them; None where it is taken on trust.
    owner
        What keeps the memory.
    """

    address: int
    shape: tuple[int, ...]
    dtype: str
    device: tuple[int, int] | None = None
    owner: Any = None


class _Owner:
    """Calls the producer's deleter when nothing uses the tensor any more."""

    def __init__(self, managed: Any, producer: object) -> None:
        self._managed, self._producer = managed, producer

    def __del__(self) -> None:
        managed = self._managed.contents
        if managed.deleter:
            managed.deleter(self._managed)


def take(producer: Any, what: str, stream: int | None) -> DeviceArray:
    """An array of another library, as a DLPack producer or a `DeviceArray`.

    Parameters
    ----------
    producer
        Has ``__dlpack__``, e.g. a tensor of PyTorch or CuPy.
    what
        Its name, for messages.
    stream
        Stream that will use it: the producer makes that wait for its own; None to skip that.

    Raises
    ------
    EngineError
        If it is no such thing, or not dense and row-major.
    """
    if isinstance(producer, DeviceArray):
        return producer
    if not hasattr(producer, "__dlpack__"):
        raise EngineError(
            f"{what}: got {type(producer).__name__}, expected an array on the device with "
            "__dlpack__, or a DeviceArray. Move it to the device first."
        )
    on_cuda = stream is not None and producer.__dlpack_device__()[0] in _CUDA
    capsule = producer.__dlpack__(stream=stream) if on_cuda else producer.__dlpack__()
    if not _is_valid(capsule, _NAME):
        raise EngineError(f"{what}: got no DLPack capsule, expected one. Give a fresh array.")
    managed = ctypes.cast(_pointer(capsule, _NAME), ctypes.POINTER(_Managed))
    _rename(capsule, _USED_NAME)
    owner = _Owner(managed, producer)
    tensor = managed.contents.tensor
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    if tensor.strides and 0 not in shape:
        expected = 1
        for axis in reversed(range(tensor.ndim)):
            if shape[axis] != 1 and tensor.strides[axis] != expected:
                strides = [tensor.strides[i] for i in range(tensor.ndim)]
                raise EngineError(
                    f"{what}: got strides {strides} for shape {shape}, expected a dense row-major "
                    "array. Make it contiguous first."
                )
            expected *= shape[axis]
    kind = _CODES.get(tensor.dtype.code, "other")
    dtype = f"{kind}{tensor.dtype.bits}" if tensor.dtype.lanes == 1 else "vectors"
    address = (tensor.data or 0) + tensor.byte_offset
    return DeviceArray(address, shape, dtype, (tensor.device.type, tensor.device.id), owner)


_exported: dict[int, tuple[Any, ...]] = {}
"""What tensors that others hold point into, by the tensor's address."""


def _release(managed: Any) -> None:
    _exported.pop(ctypes.addressof(managed.contents), None)


def _destroy(capsule: int) -> None:
    # A capsule that nobody took: its tensor goes with it.
    if _is_valid_at(capsule, _NAME):
        _exported.pop(int(_pointer_at(capsule, _NAME)), None)


_release_callback, _destroy_callback = _Deleter(_release), _Destructor(_destroy)
for _callback in (_release_callback, _destroy_callback):
    # Others may call them after this module is gone.
    _api.Py_IncRef(ctypes.py_object(_callback))


def expect_shared(array: DeviceArray, dl_device: tuple[int, int] | None, copy: bool | None) -> None:
    """Refuse what a consumer may ask for and `give` does not do: it shares memory, where it lies.

    Raises
    ------
    BufferError
        As the protocol has it, for a copy, or another device.
    """
    if copy:
        raise BufferError(
            "DLPack: got copy=True, expected False or None. Take the array as it is, and copy that."
        )
    if dl_device is not None and tuple(dl_device) != array.device:
        raise BufferError(
            f"DLPack: got device {tuple(dl_device)}, expected {array.device}, where the array is. "
            "Take it there, and move it."
        )


def give(array: DeviceArray) -> Any:
    """A DLPack capsule of memory of ours; ``array.owner`` lives as long as its consumer wants."""
    assert array.device is not None
    ndim = len(array.shape)
    shape = (ctypes.c_int64 * ndim)(*array.shape)
    dtype = np.dtype(array.dtype)
    code = {"i": 0, "u": 1, "f": 2}[dtype.kind]
    managed = _Managed()
    managed.tensor = _Tensor(
        array.address,
        _Device(*array.device),
        ndim,
        _Type(code, 8 * dtype.itemsize, 1),
        ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64)),
        None,
        0,
    )
    managed.deleter = _release_callback
    address = ctypes.addressof(managed)
    _exported[address] = (managed, shape, array.owner)
    return _api.PyCapsule_New(address, _NAME, _destroy_callback)
