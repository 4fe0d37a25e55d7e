"""The code that uses TensorRT agrees with TensorRT's own type stubs, where these are installed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(sys.prefix) / "tools"
"""Where the Makefile unpacks wheels that are read and not imported."""
# The sources: in the folder of installed packages mypy trips over others.
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory) -> Path:
    """The stubs, as a folder that mypy looks into."""
    if not (TOOLS / "tensorrt_stubs").is_dir() or importlib.util.find_spec("mypy") is None:
        pytest.skip(f"no tensorrt-stubs in {TOOLS}, or mypy is not installed")
    folder = tmp_path_factory.mktemp("stubs")
    for package in ("tensorrt", "tensorrt_bindings"):
        shutil.copytree(TOOLS / package, folder / package)
    path = folder / "tensorrt_bindings" / "tensorrt.pyi"
    # As they are shipped they do not parse: `in` for a parameter, one without a default last; and
    # `bool` in them is a variable, TensorRT's data type.
    text = re.sub(r"\bin: ", "in_: ", path.read_text())
    text = text.replace("channel_axis: int)", "channel_axis: int = ...)")
    text = text.replace("-> bool:", "-> builtins.bool:").replace(
        "import typing\n", "import typing, builtins\n", 1
    )
    path.write_text(text)
    return folder


def mypy(stubs: Path, *files: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent",
         "--cache-dir", str(stubs / "cache"), "--ignore-missing-imports", *map(str, files)],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"MYPYPATH": str(stubs)},
        check=False,
    )  # fmt: skip
    # Of the stubs themselves much is wrong, too.
    ours = [line for line in done.stdout.splitlines() if not line.startswith(str(stubs))]
    return "\n".join(ours)


def test_no_call_that_the_stubs_do_not_have(stubs):
    files = [
        ROOT / "sgn_rt" / "tensorrt" / f"{name}.py"
        for name in ("build/builder", "run/runtime", "run/run_once")
    ]
    out = mypy(stubs, *files)
    assert "sgn_rt" not in out, out
    assert "checked 3 source files" in out


def test_a_wrong_call_is_seen(stubs, tmp_path):
    wrong = tmp_path / "wrong.py"
    source = (ROOT / "sgn_rt" / "tensorrt" / "run" / "runtime.py").read_text()
    assert "execute_async_v3" in source
    wrong.write_text(source.replace("execute_async_v3", "enqueue_v4"))
    assert 'has no attribute "enqueue_v4"' in mypy(stubs, wrong)
