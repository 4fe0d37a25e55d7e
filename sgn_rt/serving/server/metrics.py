"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from sgn_rt.report import SeparationFiles
from sgn_rt.separator import Separator
from sgn_rt.serving.server.backend import Backend
from sgn_rt.serving.server.tracing import past_span
from sgn_rt.streaming.hub.stats import BatchDone, HubStats

if TYPE_CHECKING:
    from prometheus_client import Metric

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_REQUEST_SECONDS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
_FACTORS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128)
TURNED_AWAY: Final = ("too-many-recordings", "too-many-streams")
"""Why the server itself has not taken what its limits forbid."""


class Metrics:
    """The server's figures, in a registry of its own.

    Attributes
    ----------
    turned_away
        How often it was so, by each of `TURNED_AWAY`.
    """

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
        self.turned_away = dict.fromkeys(TURNED_AWAY, 0)

    def watch(self, backend: Backend, taken: Callable[[], int]) -> None:
        """Show what the backend is like when somebody asks, and how many recordings are taken."""
        self.registry.register(_Now(backend, taken, self.turned_away))

    def on_batch(self, batch: BatchDone) -> None:
        """A call of the engine by the hub has ended."""
        self._windows.labels(batch.engine, "stream").inc(batch.windows)
        self._batch.observe(batch.windows)
        self._compute.observe(batch.compute_s)
        for waited in batch.queue_s:
            self._queue.observe(waited)
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

    def text(self, accept: str) -> tuple[bytes, str]:
        """All of it, in the format that a scraper asks for; and the format's media type."""
        from prometheus_client.exposition import choose_encoder

        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type


class _Now:
    """Figures that are true when somebody asks."""

    def __init__(
        self, backend: Backend, taken: Callable[[], int], turned_away: Mapping[str, int]
    ) -> None:
        self._backend, self._taken, self._turned_away = backend, taken, turned_away

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are told with the figures."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """As a registry asks for."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        ready = self._backend.unready() is None
        yield GaugeMetricFamily("sgn_rt_ready", "Whether work is taken.", float(ready))
        yield GaugeMetricFamily("sgn_rt_recordings",
                                "Recordings that are coming, waiting or in work.",
                                self._taken())  # fmt: skip
        overload = CounterMetricFamily("sgn_rt_overload", "What overload has done, by kind.",
                                       labels=("kind",))  # fmt: skip
        kinds = dict(self._turned_away)
        if self._backend.opened is not None:
            separator, hub = self._backend.opened
            stats = hub.stats()
            kinds |= {"refused": stats.refused, "raised": stats.raised,
                      "longer-step": stats.longer_steps, "pass-through": stats.passed}  # fmt: skip
            yield from _of_hub(stats)
            yield from _of_engine(separator)
        for kind, count in kinds.items():
            overload.add_metric((kind,), count)
        yield overload


def _of_hub(stats: HubStats) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield GaugeMetricFamily("sgn_rt_streams", "Live streams.", stats.streams)
    yield CounterMetricFamily(
        "sgn_rt_late_windows", "Live windows that came after their deadline.", stats.late
    )
    yield GaugeMetricFamily(
        "sgn_rt_load_ratio", "Share of what the engine holds that live streams need.", stats.load
    )
    yield CounterMetricFamily(
        "sgn_rt_hung_calls", "Calls of the engine that were given up.", stats.given_up
    )


def _of_engine(separator: Separator) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

    engine = separator.engine
    facts = {"name": engine.name, "detail": str(engine.detail), "model": separator.bundle.name}
    yield InfoMetricFamily("sgn_rt_engine", "The engine in service.", facts)
    yield CounterMetricFamily(
        "sgn_rt_engine_replacements", "Engines that were replaced.", len(separator.replacements)
    )
    figures = GaugeMetricFamily(
        "sgn_rt_parity",
        "What the start-up probe measured, in the stage's unit.",
        labels=("stage", "unit"),
    )
    for result in separator.parity:
        figures.add_metric((str(result.stage), result.limit.unit), result.figure)
    yield figures
