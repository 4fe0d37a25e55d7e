"""Where in a user's own code something went wrong."""

from __future__ import annotations

import re
import sysconfig
import traceback
from pathlib import Path
from typing import Final

import numpy as np
import torch

import sgn_rt

_NOT_THEIRS: Final = tuple(
    str(Path(folder).resolve())
    for folder in (
        *(Path(package.__file__).parent for package in (torch, np, sgn_rt) if package.__file__),
        Path(__file__).parents[2] / "export",
    )
)
_PYTHONS: Final = str(Path(sysconfig.get_path("stdlib")).resolve())
_INSTALLED: Final = {"site-packages", "dist-packages"}
_FRAME: Final = re.compile(r'File "([^"]+)", line (\d+)')


def is_users(file: str) -> bool:
    """Whether a source file is neither Python's, nor PyTorch's, nor this package's."""
    path = Path(file).resolve()
    pythons = str(path).startswith(_PYTHONS) and not _INSTALLED & set(path.parts)
    return path.is_file() and not pythons and not str(path).startswith(_NOT_THEIRS)


def line_of(error: BaseException) -> str:
    """`` (file.py, line 12)``: the innermost of the user's lines that led to it, or nothing."""
    frames = [(f.filename, f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)]
    return _last(frames) or line_in(str(error))


def line_in(text: str) -> str:
    """As `line_of`, of a traceback in a text."""
    return _last([(file, int(line)) for file, line in _FRAME.findall(text)])


def _last(frames: list[tuple[str, int]]) -> str:
    found = [(Path(file).name, line) for file, line in frames if is_users(file)]
    return f" ({found[-1][0]}, line {found[-1][1]})" if found else ""


def told(error: BaseException) -> str:
    """Kind, first line and place of an error of the user's code."""
    first, *_ = [*str(error).strip().splitlines(), ""]
    said = f": {first[:300]}" if first else ""
    return f"{type(error).__name__}{said}{line_of(error)}"
