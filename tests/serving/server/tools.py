"""What tests of the server send and get."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import soundfile

RATE = 8000
"""Of the small model, Hz."""
PATIENCE_S = 30.0
"""How long a test waits for what is to come at once."""


def as_wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def from_audio(content: bytes) -> np.ndarray:
    samples, _ = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return samples.T


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


class Gate:
    """A fault for an engine: it waits in a window until the gate is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, call: int, answer: Any) -> Any:
        self.reached.set()
        assert self.opened.wait(PATIENCE_S)
        return answer
