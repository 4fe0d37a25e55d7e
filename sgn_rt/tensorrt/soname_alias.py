"""A name for a library that is already loaded: an empty ELF object that needs it.

TensorRT for RTX's parser opens ``libtensorrt_rtx.so`` when it adds a plugin, but its Python package
has only ``libtensorrt_rtx.so.1``, and a name that cannot be opened ends the process. The dynamic
linker takes a library for loaded if the name is another's SONAME; so an object of that SONAME,
which contains nothing and needs the versioned library, answers for it. It is made of bytes, as
neither a compiler nor the right to write into the package's folder can be counted on.
"""

from __future__ import annotations

import ctypes
import os
import struct
import tempfile
from pathlib import Path
from typing import Final

from sgn_rt.errors import EngineError

_CLASS_64, _LITTLE_ENDIAN = 2, 1
_TYPE_SHARED = 3
_PT_LOAD, _PT_DYNAMIC = 1, 2
_READ_WRITE: Final = 6
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SYMENT, _DT_SONAME = (
    0,
    1,
    5,
    6,
    10,
    11,
    14,
)
_HEADER_SIZE, _PROGRAM_HEADER_SIZE, _SYMBOL_SIZE = 64, 56, 24


def alias_bytes(library: Path, name: str) -> bytes:
    """An empty shared object with SONAME ``name`` that needs ``library`` by its file name.

    Raises
    ------
    EngineError
        If ``library`` is not a 64-bit little-endian ELF file.
    """
    with library.open("rb") as file:
        header = file.read(_HEADER_SIZE)
    if header[:6] != bytes((*b"\x7fELF", _CLASS_64, _LITTLE_ENDIAN)):
        raise EngineError(
            f"{library}: got {header[:6]!r}, expected a 64-bit little-endian ELF file. Reinstall "
            "its package."
        )
    (machine,) = struct.unpack_from("<H", header, 18)
    (flags,) = struct.unpack_from("<I", header, 48)
    strings = b"\0" + name.encode() + b"\0" + library.name.encode() + b"\0"
    dynamic_at = _HEADER_SIZE + 2 * _PROGRAM_HEADER_SIZE
    entries = 7
    symbols_at = dynamic_at + 16 * entries
    strings_at = symbols_at + _SYMBOL_SIZE
    end = strings_at + len(strings)
    dynamic = (
        (_DT_SONAME, 1),
        (_DT_NEEDED, 2 + len(name)),
        (_DT_STRTAB, strings_at),
        (_DT_STRSZ, len(strings)),
        (_DT_SYMTAB, symbols_at),
        (_DT_SYMENT, _SYMBOL_SIZE),
        (_DT_NULL, 0),
    )
    assert len(dynamic) == entries
    elf = header[:16] + struct.pack(
        "<HHIQQQIHHHHHH", _TYPE_SHARED, machine, 1, 0, _HEADER_SIZE, 0, flags,
        _HEADER_SIZE, _PROGRAM_HEADER_SIZE, 2, 0, 0, 0,
    )  # fmt: skip
    load = struct.pack("<IIQQQQQQ", _PT_LOAD, _READ_WRITE, 0, 0, 0, end, end, 1 << 16)
    size = 16 * entries
    table = struct.pack(
        "<IIQQQQQQ", _PT_DYNAMIC, _READ_WRITE, dynamic_at, dynamic_at, dynamic_at, size, size, 8
    )
    tags = b"".join(struct.pack("<QQ", *entry) for entry in dynamic)
    return elf + load + table + tags + bytes(_SYMBOL_SIZE) + strings


def answer_for(library: Path, name: str) -> None:
    """Make ``dlopen(name)`` find ``library``, which is loaded already, unless it does so anyway.

    Raises
    ------
    EngineError
        If even then it does not.
    """
    if _opens(name):
        return
    handle, path = tempfile.mkstemp(prefix="sgn-rt-", suffix=".so")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(alias_bytes(library, name))
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise EngineError(
            f"{name}: got {error}, expected to load a stand-in for {library}. "
            f"Make a link of that name beside {library}."
        ) from error
    finally:
        Path(path).unlink(missing_ok=True)
    if not _opens(name):
        raise EngineError(
            f"{name}: got no such library even with a stand-in, expected {library.name} under "
            "that name. "
            f"Make a link of that name beside {library}."
        )


def _opens(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
