"""What a graph may not do in ONNX Runtime: read files of its own choice, and run for ever.

A graph is a program. It cannot write, send or start anything, but a hostile one can still take all
memory that the process may have: limits on that are the operating system's (a container, ulimit).
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sgn_rt._optional import pip_command
from sgn_rt.errors import DependencyError

OLDEST: Final = (1, 24)
"""From here on ONNX Runtime takes weights from memory alone, and refuses paths out of a folder."""
SECONDS_A_WINDOW: Final = 120.0
"""A network of paper scale takes one or two on a processor of its own; a loop without end, all."""
_FOLDER: Final = "session.model_external_initializers_file_folder_path"
_IDLE_TICKS: Final = 10


def expect_version(ort: Any, extra: str) -> None:
    """Refuse an ONNX Runtime that follows the paths in a graph wherever they lead.

    Raises
    ------
    DependencyError
        For a version before `OLDEST`.
    """
    parts = str(ort.__version__).split(".")[:2]
    if tuple(int(part) for part in parts if part.isdigit()) < OLDEST:
        raise DependencyError(
            f"onnxruntime: got version {ort.__version__}, expected at least "
            f"{'.'.join(map(str, OLDEST))}. Install it with: {pip_command(extra)}",
            command=pip_command(extra),
        )


@contextmanager
def without_files(options: Any) -> Iterator[None]:
    """While a session is made with these options, what its graph names as files lies nowhere."""
    with tempfile.TemporaryDirectory(prefix="sgn-rt-") as nowhere:
        options.add_session_config_entry(_FOLDER, nowhere)
        yield


class TimeLimit:
    """Ends runs that take longer than any network does, from a thread that is there only for them.

    Parameters
    ----------
    seconds
        For each window of a run.
    """

    def __init__(self, seconds: float = SECONDS_A_WINDOW) -> None:
        self._seconds, self._tick = seconds, min(1.0, seconds / 4)
        self._lock = threading.Lock()
        self._running: dict[int, tuple[float, Any]] = {}
        self._watching = False

    @contextmanager
    def on(self, run_options: Any, windows: int) -> Iterator[None]:
        """Watch over a run with these options of its own; it fails when its time is up."""
        end = time.monotonic() + self._seconds * max(1, windows)
        with self._lock:
            self._running[id(run_options)] = (end, run_options)
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="sgn-rt-time-limit", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                del self._running[id(run_options)]

    def _watch(self) -> None:
        idle = 0
        while idle < _IDLE_TICKS:
            time.sleep(self._tick)
            with self._lock:
                now = time.monotonic()
                for end, run_options in self._running.values():
                    if end < now:
                        run_options.terminate = True
                idle = 0 if self._running else idle + 1
                if idle == _IDLE_TICKS:
                    self._watching = False
