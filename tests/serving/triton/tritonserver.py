"""The real tritonserver of nvidia-pytriton's wheel, with the Python backend alone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tritonclient.grpc import InferenceServerClient, InferenceServerException

ENVIRONMENT = Path(sys.prefix) / "triton"
"""The environment of the server and of what its models run on."""
SHARED_MEMORY = Path("/dev/shm")
ONNX_RUNTIME_LEAVES = ".ses"
"""A file of some bytes that ONNX Runtime writes wherever it runs, one for all its runs."""
START_S = 120.0
STOP_S = 60.0


def packages() -> Path | None:
    """Folder of the environment's packages; None where it is not there, or not whole."""
    found = next(iter(ENVIRONMENT.glob("lib/python3*/site-packages")), None)
    return found if found and (found / "pytriton" / "tritonserver").is_dir() else None


def backends(folder: Path) -> Path:
    """A folder of backends as tritonserver wants it, with the stub for this Python."""
    source = packages()
    assert source is not None
    server = source / "pytriton" / "tritonserver"
    target = shutil.copytree(server / "backends", folder / "backends")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    stub = target / "python" / "triton_python_backend_stub"
    shutil.copyfile(server / "python_backend_stubs" / version / stub.name, stub)
    stub.chmod(0o755)
    return target


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on: tritonserver takes no 0."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Server:
    """A tritonserver on loopback, from `start` to `stop`.

    Parameters
    ----------
    backends
        See `backends`.
    models
        Folder of models.
    folder
        For its log, and for what it leaves: empty when it has ended cleanly.
    load
        Models to load.
    mode
        ``explicit``, in which models are loaded and unloaded by request, or ``none``.
    """

    def __init__(
        self,
        backends: Path,
        models: Path,
        folder: Path,
        *,
        load: Sequence[str] = (),
        mode: str = "explicit",
    ) -> None:
        self.models, self._backends, self._load, self._mode = models, backends, load, mode
        folder.mkdir(parents=True, exist_ok=True)
        self._log, self.temporary = folder / "log.txt", folder / "tmp"
        self.temporary.mkdir()
        self.prefix = f"sgn_rt_{os.getpid()}_{folder.name}_"
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text(errors="replace")

    def left(self) -> list[str]:
        """What of it is in shared memory and temporary files."""
        shared = [path.name for path in SHARED_MEMORY.glob(f"{self.prefix}*")]
        own = [path.name for path in self.temporary.iterdir()]
        return shared + [name for name in own if name != ONNX_RUNTIME_LEAVES]

    def start(self) -> Server:
        """Start it; another program may take a port meanwhile, so that it is tried three times."""
        for _ in range(3):
            if self._started():
                return self
        raise AssertionError(f"tritonserver did not start:\n{self.log}")

    def _started(self) -> bool:
        source = packages()
        assert source is not None
        http, grpc, metrics = _free_ports(3)
        self.url, self.metrics = f"127.0.0.1:{grpc}", f"http://127.0.0.1:{metrics}/metrics"
        command = [
            source / "pytriton" / "tritonserver" / "bin" / "tritonserver",
            f"--model-repository={self.models}",
            f"--backend-directory={self._backends}",
            *("--http-address=127.0.0.1", f"--http-port={http}"),
            *("--grpc-address=127.0.0.1", f"--grpc-port={grpc}"),
            *("--metrics-address=127.0.0.1", f"--metrics-port={metrics}"),
            *("--allow-gpu-metrics=false", "--exit-on-error=false", "--strict-readiness=false"),
            *("--disable-auto-complete-config", "--exit-timeout-secs=30"),
            f"--backend-config=python,shm-region-prefix-name={self.prefix}",
            f"--model-control-mode={self._mode}",
            *(f"--load-model={name}" for name in self._load),
        ]
        environment = os.environ | {
            "PATH": f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": str(source / "nvidia_pytriton.libs"),
            "TMPDIR": str(self.temporary),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        environment.pop("PYTHONPATH", None)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*map(str, command)], stdout=log, stderr=log, env=environment
            )
        with InferenceServerClient(self.url) as client:
            for _ in range(int(START_S / 0.1)):
                try:
                    if client.is_server_ready():
                        return True
                except InferenceServerException:
                    pass
                try:
                    self.process.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
                return False
        self.stop()
        return False

    def stubs(self) -> dict[int, str]:
        """Processes in which models run: number -> command line."""
        assert self.process is not None
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, ValueError):  # it has just ended
                continue
            if parent == self.process.pid and "triton_python_backend_stub" in line:
                found[int(folder.name)] = line
        return found

    def stop(self) -> int:
        """End it as an operator does; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it as nobody should, with its models' processes, and tidy up after it."""
        assert self.process is not None
        stubs = self.stubs()
        self.process.kill()
        self.process.wait()
        for number in stubs:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        for path in SHARED_MEMORY.glob(f"{self.prefix}*"):
            path.unlink(missing_ok=True)
