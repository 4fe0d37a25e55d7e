"""An empty ELF object that makes a name resolve to a library that is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.soname_alias import alias_bytes

SCRIPT = """
import ctypes, sys
from pathlib import Path
from sgn_rt.tensorrt.soname_alias import answer_for
library = Path(next(l.split()[-1] for l in open("/proc/self/maps") if "libc.so.6" in l))
try:
    ctypes.CDLL("libsgn_rt_no_such_name.so")
except OSError:
    pass
else:
    sys.exit("the name resolves before")
answer_for(library, "libsgn_rt_no_such_name.so")
answer_for(library, "libsgn_rt_no_such_name.so")
found = ctypes.CDLL("libsgn_rt_no_such_name.so")
assert found.abs(-7) == 7
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ELF")
def test_the_name_answers_with_the_librarys_functions():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)


def test_it_is_of_the_librarys_machine(tmp_path):
    library = tmp_path / "lib.so.1"
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    header[18:20] = (183).to_bytes(2, "little")  # aarch64
    library.write_bytes(header)
    made = alias_bytes(library, "lib.so")
    assert made[18:20] == header[18:20]
    assert b"\0lib.so\0lib.so.1\0" in made


@pytest.mark.parametrize("content", [b"", b"MZ" + bytes(70), b"\x7fELF\x01\x01" + bytes(70)])
def test_no_elf_is_refused(tmp_path, content):
    library = tmp_path / "lib.so.1"
    library.write_bytes(content)
    with pytest.raises(EngineError, match="expected a 64-bit"):
        alias_bytes(library, "lib.so")
