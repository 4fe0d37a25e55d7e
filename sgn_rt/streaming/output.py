"""The output of a stream: tracks at the model's rate, brought to the caller's, and queued."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.resample import Resampler
from sgn_rt.audio.samples import residual
from sgn_rt.streaming.buffers import Queue
from sgn_rt.streaming.track import Track

RunsEach = Callable[[Callable[[Float], Float], Iterable[Float]], Iterable[Float]]
"""As `map`: here and now, or in the threads of a pool."""

RESIDUAL: Final = "residual"
"""Key of what is left of the mixture when the separated sources are taken away."""


class _Conversion(NamedTuple):
    """A span of some tracks in work: up to where, the mixture for the residual, rows to come."""

    names: Sequence[str]
    stop: int
    mixture: Float | None
    rows: Iterator[Float]
    dropped: set[str]


class Output:
    """Tracks on their way to the caller.

    Which spans are converted depends on the position in the signal alone, never on the blocks in
    which it comes.

    Parameters
    ----------
    resample
        From the model's rate to the caller's.
    run
        Where conversions run.

    Attributes
    ----------
    tracks
        By name, in the order in which they come out.
    settled, collected
        Samples at the caller's rate whose conversion has begun, and has ended.
    """

    def __init__(self, resample: Resampler, run: RunsEach) -> None:
        self._resample, self._run = resample, run
        self._conversions: deque[_Conversion] = deque()
        self._ready = Queue()
        self.tracks: dict[str, Track] = {}
        self.settled = self.collected = 0

    @property
    def in_work(self) -> int:
        """Conversions that have begun and not been collected."""
        return len(self._conversions)

    def settle(self, stop: int, mixture: Float | None) -> None:
        """Begin to convert all tracks up to sample ``stop``.

        Parameters
        ----------
        stop
            At the caller's rate.
        mixture
            The input from `settled` to there, shape = (channels, samples), where the residual is
            wanted.
        """
        start = self.settled
        names = [name for name, track in self.tracks.items() if track.start <= start]
        self._convert(names, start, stop, mixture)
        self.settled = stop
        oldest, _ = self._resample.source_span(stop, stop + 1)
        for track in self.tracks.values():
            track.drop_before(oldest)

    def catch_up(self, name: str, start: int, stop: int) -> None:
        """Begin to convert a span that is past for one track."""
        self._convert([name], start, stop, None)

    def _convert(self, names: list[str], start: int, stop: int, mixture: Float | None) -> None:
        if start == stop:
            return
        needed = self._resample.source_span(start, stop)
        spans = [self.tracks[name].span(*needed) for name in names]
        together = [np.concatenate(spans)] if spans and self._resample.at_once else spans
        blocks = self._run(lambda span: self._resample(span, start, stop), together)
        if together is not spans:
            blocks = chain.from_iterable(np.split(block, len(spans)) for block in blocks)
        self._conversions.append(_Conversion(names, stop, mixture, iter(blocks), set()))

    def collect(self, leave: int = 0) -> None:
        """Wait for conversions, the oldest first, until ``leave`` of them are left in work."""
        while len(self._conversions) > leave:
            work = self._conversions.popleft()
            block = dict(zip(work.names, work.rows, strict=True))
            for name in work.dropped:
                del block[name]
            if work.mixture is not None:
                block[RESIDUAL] = residual(work.mixture, list(block.values()))
            self._ready.put(block)
            self.collected = max(self.collected, work.stop)

    def drop(self, name: str) -> None:
        """Forget a track, and all of it that has not been taken."""
        del self.tracks[name]
        for work in self._conversions:
            work.dropped.update({name} & set(work.names))
        self._ready.drop(name)

    def take(self, names: Sequence[str], channels: int, samples: int) -> dict[str, Float]:
        """The oldest samples that are ready."""
        return self._ready.take(names, channels, samples)

    def drain(self) -> list[dict[str, Float]]:
        """All that is ready, in pieces."""
        return self._ready.drain()
