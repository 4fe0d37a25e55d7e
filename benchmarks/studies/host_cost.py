"""What a window costs the host when a GPU does the work: from a stream's jobs to what tracks read.

    python -P -m sgn_rt.benchmarks.studies.host_cost

One thread, a GPU that answers at once, the published model, all of its categories, batches of 8.
The row ``copied`` is how it was done at first: the whole answer out of page-locked memory, into the
result, looked through for what is not finite, and cut. Times are of the thread, in milliseconds a
window, the median of rounds in turn.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import numpy as np

from sgn_rt._types import Float, Part, Positions, SampleFormat, Separated
from sgn_rt.benchmarks.studies.idle import IdleDevice, IdleKernels, IdleTensorRT
from sgn_rt.engines.base import Engine, WholeEngine
from sgn_rt.engines.guarded import GuardedEngine
from sgn_rt.engines.tensorrt_engine import TensorRTEngine
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import Kind, Precision
from sgn_rt.streaming.jobs import Heard, Job
from sgn_rt.streaming.rounds import Rounds
from sgn_rt.streaming.windows import WindowLayout
from sgn_rt.tensorrt.bindings import Flavor, TensorRT
from sgn_rt.tensorrt.build.engine_summary import Figure
from sgn_rt.tensorrt.profiles import profiles_for
from sgn_rt.tensorrt.run.runtime import LoadedEngine, Model
from sgn_rt.tensorrt.sidecar import Sidecar

BATCH: Final = 8
MOST_MS: Final = 0.15
"""A window, of the thread: what this path promises."""


def _sidecar(kind: Kind, config: ModelConfig) -> Sidecar:
    profiles = profiles_for(kind, config, BATCH, len(config.categories))[-1:]
    figure = Figure(
        kernels=0, kinds={}, casts=0, movers=0, attention=0, plugins=(), norms=0,
        activation_bytes=(0,), weights_bytes=0,
    )  # fmt: skip
    return Sidecar(
        name=f"{kind}.fp16.idle", flavor=Flavor.TENSORRT, version=(0,), gpus=("sm89",),
        gpu_name=None, kind=kind, precision=Precision.FP16, graph_sha256="0" * 64,
        profiles=profiles, hardware_compatible=False, version_compatible=False,
        workspace_bytes=None, figure=figure, plugin=None,
        sha256=hashlib.sha256(kind.encode()).hexdigest(), size=len(kind), generator="", proof=None,
    )  # fmt: skip


def idle_engine(bundle: Bundle, device: IdleDevice) -> TensorRTEngine:
    """The engine, network and synthesis, on a GPU that answers at once."""
    module: Any = IdleTensorRT(bundle.config)
    trt = TensorRT(flavor=Flavor.TENSORRT, module=module, version=(0,))
    network, synthesis = (
        LoadedEngine(trt, device, bundle.config, _sidecar(kind, bundle.config), kind.encode(), None)
        for kind in (Kind.PLUGIN, Kind.SYNTHESIS)
    )
    kernels: Any = IdleKernels()
    return TensorRTEngine("tensorrt", bundle, Model(device, network, synthesis, kernels))


class CopyingEngine(WholeEngine):
    """Every copy that the first of these engines made of its answer."""

    name, detail, precision, concurrency, batch = "copying", "", Precision.FP16, 1, BATCH

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        known = len(config.categories)
        self._pinned = np.zeros((BATCH, known, config.window_samples), np.float32)
        self._staging = np.zeros((BATCH, config.window_samples), np.float32)
        self._presence = np.zeros((BATCH, known), np.float32)

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        del categories
        self._staging[...] = mixture
        collected = self._pinned.copy()
        sources = np.empty_like(collected)
        sources[...] = collected
        return Separated(sources, self._presence.copy())


class _Here:
    """An executor that has no threads."""

    def map(self, function: Callable[..., Any], *items: Iterable[Any]) -> Iterator[Any]:
        """As Python's."""
        return map(function, *items)


class Subject:
    """Rounds of one batch through an engine."""

    def __init__(
        self, engine: Engine, config: ModelConfig, sample_format: SampleFormat = "float32"
    ) -> None:
        self._chosen = np.arange(len(config.categories))
        guarded = GuardedEngine([engine.name], lambda _: engine, lambda _: None, "off")
        here: Any = _Here()
        self._rounds = Rounds(guarded, here, finds=False)
        layout = WindowLayout.offline(config)
        rng = np.random.default_rng(0)
        windows = rng.standard_normal((BATCH, config.window_samples), np.float32)
        start, stop = layout.discard_left, layout.window - layout.discard_right
        self._jobs = [
            Job(window, Part(start, stop, 1.0, sample_format, layout.start(index)))
            for index, window in enumerate(windows)
        ]

    def round(self) -> list[Heard]:
        """Of a batch, what tracks read."""
        return list(self._rounds.begin(self._jobs, self._chosen))

    def timed(self) -> float:
        """Milliseconds of this thread a window."""
        start = time.thread_time()
        self.round()
        return 1e3 * (time.thread_time() - start) / BATCH


def measure(bundle: Bundle, rounds: int) -> dict[str, float]:
    """Medians, milliseconds a window."""
    config = bundle.config
    subjects = {"copied": Subject(CopyingEngine(config), config)}
    formats: tuple[SampleFormat, ...] = ("float32", "int16")
    for sample_format in formats:
        engine = idle_engine(bundle, IdleDevice())
        subjects[sample_format] = Subject(engine, config, sample_format)
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for turn in range(3 + rounds):
        for name, subject in subjects.items():
            took = subject.timed()
            if turn >= 3:
                times[name].append(took)
    return {name: float(np.median(each)) for name, each in times.items()}


def main() -> int:
    """Print the medians; 1 where a window costs more than `MOST_MS`."""
    medians = measure(Bundle.open(None), rounds=50)
    for name, each in medians.items():
        print(f"{name:>8} {each:7.3f} ms a window")
    return int(medians["float32"] > MOST_MS)


if __name__ == "__main__":
    sys.exit(main())
