"""ONNX Runtime on a GPU: CUDA, and TensorRT with CUDA behind it. Not yet run on a GPU.

Names and values of options are those of onnxruntime-gpu 1.31.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._private import open_lock, private_folder
from sgn_rt._types import Analysis, Float, Positions
from sgn_rt.engines.base import Engine
from sgn_rt.engines.onnxruntime_session import CUDA, TENSORRT, Options, Runs, Session
from sgn_rt.errors import UnavailableError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import Tensor

log = logging.getLogger(__name__)

BATCH: Final = 8
"""Windows of a call: as many as an engine of TensorRT is built for."""
SIDE_BY_SIDE: Final = 2
"""Calls in flight: one copies while the other computes."""
MOST_SOURCES: Final = 64
"""Sources of a call; all of a model's are made where any may be asked for, up to so many."""
TF32_VARIABLE: Final = "NVIDIA_TF32_OVERRIDE"
"""Set to 0 before CUDA starts, it keeps every library in the process from TF32."""


def expect_float32(provider: str) -> None:
    """Refuse TensorRT's provider where it would compute float32 in TF32, 10 bits of mantissa.

    It has no option against that. Even in the float16 graph it concerns the products of both
    transforms: a quiet window of the published model is then at 44 dB, with limits of 48 in
    float16 and 90 in float32.

    Raises
    ------
    UnavailableError
        If TF32 is not off for the whole process.
    """
    if provider == TENSORRT and os.environ.get(TF32_VARIABLE) != "0":
        raise UnavailableError(
            f"onnxruntime: got a process in which {provider} computes float32 in TF32, which does "
            f"not hold parity, expected {TF32_VARIABLE}=0 in its environment. Start it with that, "
            "or choose another engine."
        )


def providers_on(
    provider: str, bundle: Bundle, artifact: Artifact, ordinal: int
) -> list[tuple[str, Options]]:
    """A GPU's provider with its options, and CUDA behind TensorRT: what that leaves stays there.

    Parameters
    ----------
    provider
        `CUDA` or `TENSORRT`.
    bundle, artifact
        The graph.
    ordinal
        Number of the GPU.
    """
    cuda = (CUDA, _cuda_options(ordinal))
    if provider == CUDA:
        return [cuda]
    return [(TENSORRT, _tensorrt_options(bundle, artifact, ordinal)), cuda]


def _cuda_options(ordinal: int) -> Options:
    return {
        "device_id": str(ordinal),
        # On by default, with 10 bits of mantissa: float32 engines fail their probe by 30 dB.
        "use_tf32": "0",
        # The default tries every algorithm on each new shape, in the middle of the first call, and
        # may choose another one at the next start.
        "cudnn_conv_algo_search": "HEURISTIC",
        # The default doubles with every extension; the GPU may be shared with others.
        "arena_extend_strategy": "kSameAsRequested",
    }


def _tensorrt_options(bundle: Bundle, artifact: Artifact, ordinal: int) -> Options:
    config = bundle.config
    most = min(len(config.categories), MOST_SOURCES)
    best = _profile(config, BATCH, most)
    options = {
        "device_id": str(ordinal),
        # With all shapes named there is one build, when the session opens; without, every new
        # batch or number of sources is another one, for a minute, in the middle of a call.
        "trt_profile_min_shapes": _profile(config, 1, 1),
        "trt_profile_opt_shapes": best,
        "trt_profile_max_shapes": best,
        # trt_fp16_enable is left off: the types are then those of the graph, float32 islands too.
    }
    try:
        # An engine is a program: read from where nobody else can write, and only there. The
        # provider tells engines apart by names in the graph, so each graph has its own folder.
        folder = private_folder("onnxruntime-tensorrt", _digest(bundle, artifact))
    except OSError as error:
        log.warning("onnxruntime: engines are built again at every start: got %s", error)
        return options
    return options | {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
    }


def _profile(config: ModelConfig, batch: int, sources: int) -> str:
    return f"{Tensor.MIXTURE}:{batch}x{config.window_samples},{Tensor.CATEGORIES}:{sources}"


def _digest(bundle: Bundle, artifact: Artifact) -> str:
    """Of a graph, its weights, and the shapes that an engine of it is made for."""
    files = [bundle.files[name].sha256 for name in (artifact.path, *artifact.external)]
    text = " ".join((*files, str(BATCH), str(MOST_SOURCES)))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@contextmanager
def alone_with(providers: Sequence[tuple[str, Options]]) -> Iterator[None]:
    """Keep other processes from the same engines, which the provider writes as it goes."""
    folder = dict(providers[0][1]).get("trt_engine_cache_path")
    if folder is None or os.name == "nt":  # Windows has no such locks
        yield
        return
    import fcntl

    handle = open_lock(Path(folder) / "lock")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def padded(windows: NDArray[Any]) -> NDArray[Any]:
    """One window, or as many as `BATCH`, the last ones silent: a GPU prepares for every shape."""
    missing = 0 if len(windows) == 1 else BATCH - len(windows)
    if missing == 0:
        return windows
    return np.concatenate((windows, np.zeros((missing, *windows.shape[1:]), windows.dtype)))


class _Made:
    """Sources [B, S, N] of some windows, on the GPU until one of them is wanted."""

    def __init__(self, categories: Positions, value: Any) -> None:
        self.rows = {int(category): row for row, category in enumerate(categories)}
        self._value, self._lock = value, threading.Lock()
        self._sources: Float | None = None

    def sources(self) -> Float:
        """In memory of the host, brought there once."""
        with self._lock:
            if self._sources is None:
                self._sources, self._value = self._value.numpy(), None
            return self._sources


class OnGpu(Engine):
    """The ``waveform`` graph on a GPU, many windows to a call.

    The graph cannot stop between presence and sources, so all that may be asked for are made; but
    they stay on the GPU, and what nobody asks for is never copied.
    """

    batch = BATCH
    concurrency = SIDE_BY_SIDE

    def __init__(self, config: ModelConfig, session: Session, ordinal: int) -> None:
        super().__init__(config)
        self.session, self._ordinal = session, ordinal

    def close(self) -> None:
        """Let go of the session."""
        self.session.close()

    def _analyze(self, mixture: Float, wanted: Positions | None) -> list[Analysis]:
        known = len(self.config.categories)
        asked = np.arange(known) if wanted is None else np.unique(wanted)
        if len(asked) > MOST_SOURCES:
            asked = asked[:0]
        analyses: list[Analysis] = []
        for first in range(0, len(mixture), BATCH):
            part = mixture[first : first + BATCH]
            presence, made = self._run(part, asked)
            analyses += [
                Analysis(presence[row], (window, row, made)) for row, window in enumerate(part)
            ]
        return analyses

    def _synthesize(self, analysis: Analysis, categories: Positions) -> Float:
        window, row, made = analysis.state
        wanted = [int(category) for category in categories]
        if wanted and wanted == list(made.rows):
            whole: Float = made.sources()[row]
            return whole
        sources = np.empty((len(categories), self.config.window_samples), np.float32)
        late = [category for category in dict.fromkeys(wanted) if category not in made.rows]
        found = {category: (made, row) for category in wanted if category in made.rows}
        for first in range(0, len(late), MOST_SOURCES):
            part = np.array(late[first : first + MOST_SOURCES])
            _, again = self._run(window[None], part)
            found |= dict.fromkeys(again.rows, (again, 0))
        for out, category in zip(sources, wanted, strict=True):
            holder, at = found[category]
            out[:] = holder.sources()[at, holder.rows[category]]
        return sources

    def _run(self, windows: Float, categories: Positions) -> tuple[Float, _Made]:
        """Presence of windows, up to `BATCH`, and what was made of them for some categories."""
        # TensorRT's engine takes no empty inputs.
        asked = categories if len(categories) else np.zeros(1, np.int64)
        presence, *value = self.session.run_on_gpu(
            {Tensor.MIXTURE: padded(windows), Tensor.CATEGORIES: asked},
            brought=[Tensor.PRESENCE],
            left=[Tensor.SOURCES] if len(categories) else [],
            ordinal=self._ordinal,
        )
        made = _Made(categories, value[0] if value else None)
        return presence.numpy()[: len(windows)], made


def in_batches(session: Runs, windows: Float, outputs: Sequence[Tensor]) -> list[list[Any]]:
    """Outputs of the ``core`` graph for each window, shape = (1, ...), many windows to a call."""
    rows: list[list[Any]] = []
    for first in range(0, len(windows), BATCH):
        part = windows[first : first + BATCH]
        found = session.run(outputs, {Tensor.LOG_MAGNITUDE: padded(part)})
        rows += [[each[row : row + 1] for each in found] for row in range(len(part))]
    return rows
