"""Many live streams on one engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypedDict, Unpack

from sgn_rt._process import Closes, OneProcess
from sgn_rt._types import SampleFormat
from sgn_rt.audio.limits import is_real
from sgn_rt.errors import ConfigError
from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.hub.hub_stream import HubStream
from sgn_rt.streaming.hub.overload import Overload, checked_overload, checked_positive
from sgn_rt.streaming.hub.stats import HubStats
from sgn_rt.streaming.hub.switchboard import BUFFER_S, SHARE, OnBatch, Switchboard
from sgn_rt.streaming.hub.watch import HANGS_S, Guarded
from sgn_rt.streaming.settings import StreamSettings

DEADLINE_S: Final = 0.2


class HubOptions(TypedDict, total=False):
    """What may be said of a hub beside its deadline and what it does about overload.

    Attributes
    ----------
    on_batch
        Called after each call of the engine, in the thread that made it, with a
        `sgn_rt.streaming.hub.stats.BatchDone`; what it raises is logged.
    buffer_s
        Seconds of samples of a stream that may wait for the network, and as many for the reader
        beyond the latency: 5 if left out.
    hangs_s
        A call of the engine that takes longer than this, and than 20 of them, is given up, and the
        engine with it: 10 seconds if left out.
    share
        Of what the engine was measured to hold, that streams may need before others are refused:
        0.8 if left out.
    clock
        Of deadlines, seconds; ``time.monotonic`` if left out.
    """

    on_batch: OnBatch | None
    buffer_s: float
    hangs_s: float
    share: float
    clock: Callable[[], float]


class Hub(Closes, OneProcess):
    """Separates many live signals with one engine. Made by `sgn_rt.separator.Separator.hub`.

    Windows of all streams that wait at the same time go to the engine together, as many as it takes
    in one call; the one that is due first goes first. Safe to use from any thread; each stream
    belongs to one caller at a time, but that one thread may feed it and another read it.

    Parameters
    ----------
    engine
        In service.
    config
        The model's configuration.
    deadline_s, overload
        As for `Separator.hub`.
    sample_format
        What samples may come from a GPU in.
    options
        See `HubOptions`.
    """

    def __init__(
        self,
        engine: Guarded,
        config: ModelConfig,
        *,
        deadline_s: float = DEADLINE_S,
        overload: Overload = "refuse",
        sample_format: SampleFormat = "float32",
        **options: Unpack[HubOptions],
    ) -> None:
        unknown = sorted(set(options) - set(HubOptions.__annotations__))
        if unknown:
            raise TypeError(f"got an unexpected keyword argument {unknown[0]!r}")
        self._engine, self._config, self._format = engine, config, sample_format
        self._board = Switchboard(
            engine,
            config,
            deadline_s=checked_positive(deadline_s, "deadline"),
            overload=checked_overload(overload),
            on_batch=options.get("on_batch"),
            buffer_s=checked_positive(options.get("buffer_s", BUFFER_S), "buffer"),
            hangs_s=checked_positive(options.get("hangs_s", HANGS_S), "longest call"),
            share=_checked_share(options.get("share", SHARE)),
            clock=options.get("clock", time.monotonic),
        )
        # Who has opened it for somebody closes it, also where that one holds its streams alone.
        self._board.owner = self
        self._board.start()

    def open(
        self,
        *,
        sample_rate: int,
        channels: int = 1,
        categories: Sequence[str] | None = None,
        latency_s: float | None = None,
        residual: bool = False,
        gain_db: float = 0.0,
        threshold: float | Mapping[str, float] | None = None,
    ) -> HubStream:
        """Begin to separate a live signal; parameters as `sgn_rt.separator.Separator.stream`'s.

        Raises
        ------
        OverloadError
            Where the policy is to refuse, and the engine does not hold one more; the message has
            the figures.
        CategoryError, AudioError, ConfigError
            As `Separator.stream`.
        EngineError
            Where no engine is left.
        SgnError
            After `close`, and in a forked process.
        """
        self._expect_own_process()
        settings = StreamSettings.live(
            self._engine,
            self._config,
            sample_rate=sample_rate,
            channels=channels,
            categories=categories,
            latency_s=latency_s,
            residual=residual,
            gain_db=gain_db,
            threshold=threshold,
            sample_format=self._format,
        )
        return HubStream(self._board, settings)

    def stats(self) -> HubStats:
        """Figures so far."""
        return self._board.stats()

    def close(self) -> None:
        """End all streams at once, and let go of threads; also done by leaving a ``with`` block.

        What streams have not read is gone: close each of them first. Calls that go on in other
        threads meanwhile end with an SgnError.
        """
        self._expect_own_process()
        self._board.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)


def _checked_share(share: Any) -> float:
    if not is_real(share) or not 0.0 < share <= 1.0:
        raise ConfigError(
            f"share: got {share!r:.40}, expected more than 0, at most 1. Take {SHARE:g}."
        )
    return float(share)
