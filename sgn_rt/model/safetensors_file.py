"""The safetensors container: eight bytes of header length, a JSON header, little-endian tensors.

Read here and not by the safetensors package because the exporter needs where each tensor lies in
the file, and because written files must be identical from run to run.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt.errors import CheckpointError

_LENGTH_BYTES: Final = 8
_MAX_HEADER_BYTES: Final = 100_000_000
"""The safetensors package refuses longer headers, too."""

_MAX_AXES: Final = 64
_MAX_NUMBER: Final = 1 << 63
"""Sizes are 64-bit numbers elsewhere; a longer one is slow to multiply, and to print."""

ITEM_BYTES: Final = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
"""Bytes of one item of every type that the format names."""

_WRITTEN_TYPES: Final = {np.dtype("<f2"): "F16", np.dtype("<f4"): "F32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """One tensor of a file: its type name, shape, and place (bytes from the start of the file)."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a safetensors file holds: its text metadata and its tensors, in file order."""

    metadata: dict[str, str]
    tensors: dict[str, TensorEntry]


def _refuse(path: Path, got: str, expected: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: got {got}, expected {expected}. "
        "The file is damaged or no safetensors file; copy or convert it again."
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _entry(path: Path, name: str, raw: Any, data_start: int) -> TensorEntry:
    try:
        dtype, shape, (begin, end) = raw["dtype"], raw["shape"], raw["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise _refuse(path, f"a header entry {name!r} without dtype, shape and data_offsets",
                      "all three") from error  # fmt: skip
    flat = isinstance(shape, list) and len(shape) <= _MAX_AXES
    numbers = [*shape, begin, end] if flat else [None]
    if not all(type(n) is int and 0 <= n < _MAX_NUMBER for n in numbers):
        raise _refuse(path, f"shape {shape!r:.100} and offsets of tensor {name!r:.100}",
                      f"whole numbers from 0 up, below 2^63, at most {_MAX_AXES}")  # fmt: skip
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise _refuse(
            path, f"type {dtype!r:.100} of tensor {name!r}", f"one of {sorted(ITEM_BYTES)}"
        )
    nbytes = math.prod(shape) * ITEM_BYTES[dtype]
    if end - begin != nbytes:
        expected = str(nbytes) if nbytes < _MAX_NUMBER else "far more"
        raise _refuse(path, f"{end - begin} bytes for tensor {name!r}", f"{expected} by its shape")
    return TensorEntry(dtype=dtype, shape=tuple(shape), offset=data_start + begin, nbytes=nbytes)


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file; no tensor is read.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated or no safetensors file, or if its tensors do not fill it
        exactly.
    """
    try:
        with path.open("rb") as file:
            return header_of(file, path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: got {error.strerror}, expected a readable safetensors file. Check the path."
        ) from error


def header_of(file: BinaryIO, path: Path) -> Header:
    """As `read_header`, of an open file; ``path`` is its name for messages."""
    prefix = file.read(_LENGTH_BYTES)
    length = int.from_bytes(prefix, "little")
    text = file.read(min(length, _MAX_HEADER_BYTES))
    size = file.seek(0, os.SEEK_END)
    if len(prefix) < _LENGTH_BYTES or length > _MAX_HEADER_BYTES or len(text) < length:
        raise _refuse(path, f"{size} bytes that announce a header of {length}", "the whole header")
    try:
        raw = json.loads(text.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _refuse(path, f"a header that is not JSON ({error})", "a JSON object") from error
    if not isinstance(raw, dict):
        raise _refuse(path, f"a header that is a {type(raw).__name__}", "a JSON object")

    metadata = raw.pop("__metadata__", {})
    pairs = metadata.items() if isinstance(metadata, dict) else [(None, None)]
    if not all(isinstance(value, str) for _, value in pairs):
        raise _refuse(path, f"metadata {metadata!r:.100}", "an object of texts")
    data_start = _LENGTH_BYTES + length
    entries = {name: _entry(path, name, value, data_start) for name, value in raw.items()}
    tensors = dict(sorted(entries.items(), key=lambda item: (item[1].offset, item[1].nbytes)))
    position = data_start
    for name, entry in tensors.items():
        if entry.offset != position:
            raise _refuse(path, f"tensor {name!r} at byte {entry.offset}", f"byte {position}")
        position += entry.nbytes
    if position != size:
        raise _refuse(path, f"a file of {size} bytes", f"{position}, where its tensors end")
    return Header(metadata=metadata, tensors=tensors)


def read_bytes(path: Path, entry: TensorEntry) -> bytes:
    """Raw little-endian bytes of one tensor."""
    with path.open("rb") as file:
        file.seek(entry.offset)
        return file.read(entry.nbytes)


def write(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write float16 and float32 arrays, the same bytes for the same content on every machine.

    Tensors follow each other by falling item size, then name, as the safetensors package writes
    them, so that every tensor is aligned.
    """
    arrays = {
        name: np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        for name, array in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))
    }
    header: dict[str, Any] = {}
    if metadata:
        header["__metadata__"] = dict(sorted(metadata.items()))
    position = 0
    for name, array in arrays.items():
        if array.dtype not in _WRITTEN_TYPES:
            raise CheckpointError(
                f"tensor {name!r}: got type {array.dtype}, expected float16 or float32. "
                "Convert it before saving."
            )
        header[name] = {
            "dtype": _WRITTEN_TYPES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [position, position + array.nbytes],
        }
        position += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(_LENGTH_BYTES, "little"))
        file.write(text)
        for array in arrays.values():
            file.write(array.tobytes())
