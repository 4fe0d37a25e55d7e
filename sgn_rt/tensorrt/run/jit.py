"""What TensorRT for RTX compiles when a shape first runs, kept across starts. Not yet run on a GPU.

Compiling takes long, and by default goes on beside the first calls, which other kernels serve: the
same window would then not always give the same sound, and what passed the start-up probe would not
be what runs. So it is done before the first call of a shape, and once for all starts.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from sgn_rt._atomic import write_whole
from sgn_rt._private import expect_private, private_folder, private_root
from sgn_rt.tensorrt.bindings import TensorRT
from sgn_rt.tensorrt.sidecar import Sidecar


def eager_config(trt: TensorRT, engine: Any) -> Any:
    """Configuration of a context of TensorRT for RTX that compiles before it runs; None if none.

    CUDA graphs are left to who runs it: TensorRT for RTX would also capture the first call of a
    shape, in which plugins make their plans.
    """
    config = engine.create_runtime_config()
    if config is not None:
        module = trt.module
        config.cuda_graph_strategy = module.CudaGraphStrategy.DISABLED
        eager = module.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = eager
    return config


class KernelCache:
    """Compiled kernels of one engine on one kind of GPU, in a file of the user's cache.

    TensorRT refuses content of another version, GPU or driver by itself; it is then replaced. A
    file that cannot be read or written is done without: kernels are compiled again at every start.

    Parameters
    ----------
    sidecar
        The engine.
    gpu
        Compute capability, e.g. ``"sm89"``.
    """

    def __init__(self, sidecar: Sidecar, gpu: str) -> None:
        self._name = f"{sidecar.sha256[:24]}-{gpu}.bin"
        self._lock = threading.Lock()
        self._cache: Any = None
        self._kept = ""

    @property
    def path(self) -> Path:
        """The file; OSError where the user has no cache."""
        return private_root() / "kernels" / self._name

    def attach(self, config: Any) -> None:
        """Have contexts of this configuration use it; the device has to be current.

        Parameters
        ----------
        config
            Of an engine of TensorRT for RTX, for a new context.
        """
        with self._lock:
            if self._cache is None:
                self._cache = self._read(config.create_runtime_cache())
            if self._cache is not None:
                config.set_runtime_cache(self._cache)

    def _read(self, cache: Any) -> Any:
        with suppress(OSError):
            content = expect_private("kernels", self._name).read_bytes()
            if cache is not None and cache.deserialize(content):
                self._kept = hashlib.sha256(content).hexdigest()
        return cache

    def save(self) -> None:
        """Write what has been compiled, if anything has since it was read or written."""
        with self._lock:
            content = None if self._cache is None else self._cache.serialize()
            if content is None:
                return
            digest = hashlib.sha256(content := bytes(content)).hexdigest()
            if digest == self._kept:
                return
            with suppress(OSError):
                path = private_folder("kernels") / self._name
                write_whole(path, content)
                path.chmod(0o600)  # whatever the umask: what others can write is not read again
                self._kept = digest
