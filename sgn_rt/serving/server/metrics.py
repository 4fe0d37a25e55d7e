"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from sgn_rt.report import SeparationFiles
from sgn_rt.serving.server.backend import Backend
from sgn_rt.serving.server.tracing import past_span

if TYPE_CHECKING:
    from prometheus_client import Metric

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_REQUEST_SECONDS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
_FACTORS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The server's figures, in a registry of its own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self.registry = registry = CollectorRegistry()
        self._windows = Counter(
            "sgn_rt_windows", "Windows of the network, by engine and by what they are part of.",
            ("engine", "source"), registry=registry)  # fmt: skip
        self._batch = Histogram(
            "sgn_rt_batch_windows", "Windows of live streams in one call of the engine.",
            buckets=_BATCHES, registry=registry)  # fmt: skip
        self._queue = Histogram(
            "sgn_rt_window_queue_seconds", "How long a live window waited for the engine.",
            buckets=_SECONDS, registry=registry)  # fmt: skip
        self._compute = Histogram(
            "sgn_rt_batch_compute_seconds", "How long a call of the engine took.",
            buckets=_SECONDS, registry=registry)  # fmt: skip
        self._late = Counter(
            "sgn_rt_late_windows", "Live windows that came after their deadline.",
            registry=registry)  # fmt: skip
        self._factor = Histogram(
            "sgn_rt_real_time_factor", "Seconds of work per second of sound, of recordings.",
            buckets=_FACTORS, registry=registry)  # fmt: skip
        self._sound = Counter(
            "sgn_rt_sound_seconds", "Sound that was separated, of recordings.",
            registry=registry)  # fmt: skip
        self._requests = Counter(
            "sgn_rt_http_requests", "Requests that were answered.", ("route", "code"),
            registry=registry)  # fmt: skip
        self._durations = Histogram(
            "sgn_rt_http_request_duration_seconds", "From a request to the end of its answer.",
            ("route",), buckets=_REQUEST_SECONDS, registry=registry)  # fmt: skip
        self._overload = Counter(
            "sgn_rt_overload", "What overload has done, by kind.", ("kind",),
            registry=registry)  # fmt: skip

    def watch(self, backend: Backend, taken: Any) -> None:
        """Show what the backend is like when somebody asks, and how many recordings are taken."""
        self.registry.register(_Now(backend, taken))

    def on_batch(self, batch: Any) -> None:
        """A call of the engine by the hub has ended."""
        self._windows.labels(batch.engine, "stream").inc(batch.windows)
        self._batch.observe(batch.windows)
        self._compute.observe(batch.compute_s)
        for waited in batch.queue_s:
            self._queue.observe(waited)
        self._late.inc(batch.late)
        past_span("sgn_rt.engine.batch", batch.compute_s, windows=batch.windows,
                  streams=batch.streams, engine=batch.engine)  # fmt: skip

    def separated(self, files: SeparationFiles) -> None:
        """A recording was separated."""
        for engine, windows in files.windows.items():
            self._windows.labels(engine, "recording").inc(windows)
        self._factor.observe(files.real_time_factor)
        self._sound.inc(files.duration_s)

    def answered(self, route: str, code: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(route, str(code)).inc()
        self._durations.labels(route).observe(seconds)

    def overloaded(self, kind: str, times: int = 1) -> None:
        """Overload has had a consequence."""
        self._overload.labels(kind).inc(times)

    def text(self, accept: str) -> tuple[bytes, str]:
        """All of it, in the format that a scraper asks for; and the format's media type."""
        from prometheus_client.exposition import choose_encoder

        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type


class _Now:
    """Figures that are true when somebody asks."""

    def __init__(self, backend: Backend, taken: Any) -> None:
        self._backend, self._taken = backend, taken

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are told with the figures."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """As a registry asks for."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            InfoMetricFamily,
        )

        ready = self._backend.unready() is None
        yield GaugeMetricFamily("sgn_rt_ready", "Whether work is taken.", float(ready))
        yield GaugeMetricFamily("sgn_rt_recordings",
                                "Recordings that are coming, waiting or in work.",
                                self._taken())  # fmt: skip
        if self._backend.opened is None:
            return
        separator, hub = self._backend.opened
        if hub:
            yield GaugeMetricFamily("sgn_rt_streams", "Live streams.", hub.stats().streams)
        engine = separator.engine
        facts = {"name": engine.name, "detail": str(engine.detail), "model": separator.bundle.name}
        yield InfoMetricFamily("sgn_rt_engine", "The engine in service.", facts)
        yield CounterMetricFamily("sgn_rt_engine_replacements", "Engines that were replaced.",
                                  len(separator.replacements))  # fmt: skip
        figures = GaugeMetricFamily(
            "sgn_rt_parity", "What the start-up probe measured, in the stage's unit.",
            labels=("stage", "unit"))  # fmt: skip
        for result in separator.parity:
            figures.add_metric((str(result.stage), result.limit.unit), result.figure)
        yield figures
