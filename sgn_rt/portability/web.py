"""onnxruntime-web, the one of browsers, in node: WebAssembly on one thread."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt.engines.onnxruntime_session import Runs
from sgn_rt.errors import DependencyError, EngineError
from sgn_rt.portability.consumer import Consumer, GraphFile

PACKAGE: Final = "onnxruntime-web"
TESTED: Final = "1.30.0"
COMMAND: Final = f"npm install {PACKAGE}@{TESTED}"
_PROGRAM: Final = Path(__file__).with_name("web.mjs")
_MODULE: Final = "dist/ort.wasm.min.mjs"
_LONGEST_S: Final = 600.0
"""Of a call; a program that hangs is ended."""
_LENGTHS: Final = struct.Struct("<II")


def _missing(what: str, command: str) -> DependencyError:
    return DependencyError(
        f"{OnnxRuntimeWeb.name}: got no {what}, expected one. Install it with: {command}",
        command=command,
    )


class OnnxRuntimeWeb(Consumer):
    """onnxruntime-web's WebAssembly on one thread, as in a browser without isolation."""

    name = PACKAGE

    def __init__(self) -> None:
        self._program: _Program | None = None

    def version(self) -> str:
        """As `Consumer.version`."""
        if shutil.which("node") is None:
            raise _missing("node on PATH", "apt-get install nodejs npm")
        manifest = _package() / "package.json"
        return str(json.loads(manifest.read_text(encoding="utf-8"))["version"])

    def open(self, graph: GraphFile) -> Runs:
        """As `Consumer.open`."""
        if self._program is None or self._program.has_ended:
            self.close()
            # One for all graphs: its WebAssembly takes longer to compile than most of them to run.
            self._program = _Program(_package() / _MODULE)
        return _Graph(self._program, graph)

    def close(self) -> None:
        """End the program."""
        if self._program is not None:
            self._program.close()
            self._program = None


def _folders() -> Iterator[Path]:
    """Where node looks for packages, from the folder that one is in."""
    here = Path.cwd()
    yield from (folder / "node_modules" for folder in (here, *here.parents))
    yield from (Path(entry) for entry in os.environ.get("NODE_PATH", "").split(os.pathsep) if entry)


def _package() -> Path:
    for folder in _folders():
        if (folder / PACKAGE / _MODULE).is_file():
            return folder / PACKAGE
    raise _missing(
        f"package {PACKAGE} in node_modules of this folder, of one above, or on NODE_PATH", COMMAND
    )


class _Program:
    """The program in node; what goes in and out are messages as `web.mjs` says."""

    def __init__(self, module: Path) -> None:
        self._process = subprocess.Popen(
            ["node", str(_PROGRAM), str(module)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @property
    def has_ended(self) -> bool:
        """Whether it can be asked no more."""
        return self._process.poll() is not None

    def call(self, header: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> tuple[Any, bytes]:
        """Ask the program, and wait for what it answers; what it refuses is an EngineError."""
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answered is not None
        text = json.dumps(header).encode()
        timer = threading.Timer(_LONGEST_S, self._process.kill)
        timer.start()
        try:
            asked.write(_LENGTHS.pack(len(text), sum(array.nbytes for array in arrays)) + text)
            for array in arrays:
                asked.write(array.tobytes())
            asked.flush()
            length, size = _LENGTHS.unpack(_read(answered, _LENGTHS.size))
            reply = json.loads(_read(answered, length))
            content = _read(answered, size)
        except (BrokenPipeError, EOFError) as error:
            raise EngineError(
                f"{PACKAGE}: got a program that ended, expected an answer. See what it said."
            ) from error
        finally:
            timer.cancel()
        if "error" in reply:
            raise EngineError(f"{PACKAGE}: got {reply['error']}, expected a result. Use another.")
        return reply, content

    def close(self) -> None:
        """End it."""
        with self._process as process:  # closes its pipes, and waits
            process.kill()


class _Graph:
    """A graph in the program, by a number."""

    def __init__(self, program: _Program, graph: GraphFile) -> None:
        self._program = program
        header = {"open": str(graph.path), "external": list(graph.external)}
        self._number = program.call(header, [])[0]["number"]

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[Any]:
        """The outputs named, of these inputs."""
        arrays = [np.ascontiguousarray(array) for array in inputs.values()]
        described = [
            {"name": str(name), "dtype": array.dtype.name, "shape": array.shape}
            for name, array in zip(inputs, arrays, strict=True)
        ]
        wanted = {"run": self._number, "inputs": described, "outputs": list(map(str, outputs))}
        header, content = self._program.call(wanted, arrays)
        found, at = [], 0
        for each in header["outputs"]:
            dtype, count = np.dtype(each["dtype"]), math.prod(each["shape"])
            found.append(np.frombuffer(content, dtype, count, at).reshape(each["shape"]))
            at += count * dtype.itemsize
        return found

    def close(self) -> None:
        """Let go of it."""
        if not self._program.has_ended:
            self._program.call({"close": self._number}, [])


def _read(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content
