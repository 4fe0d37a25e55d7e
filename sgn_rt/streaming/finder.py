"""A recording's categories found while its windows go by: the network runs once for each.

A category that may turn out present is synthesised from then on. The latest windows are held, so
that most tracks begin with the recording; what lies before them is computed when the rest is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.rounds import Heard
from sgn_rt.streaming.stream import Stream
from sgn_rt.streaming.track import Track

HOLD_BYTES: Final = 32 << 20
"""Of windows held: 6 of the published model (27 s of mono), the size of a few tracks of output."""


def analysis_bytes(config: ModelConfig) -> int:
    """About what an engine keeps of a window to make sources of: basis maps and spectrum."""
    basis = config.mask_basis * config.frequency_bins * config.frames
    return 4 * (basis + 2 * config.bins * config.frames)


class FindingStream(Stream):
    """A stream of whatever is present, for recordings: `feed_ahead` and `flush_ahead` alone.

    A piece has the sources that have begun by then, from sample `begins` on. They are those of
    naming the same categories, bit for bit.
    """

    _finds = True

    def reset(self) -> None:
        """Forget everything fed so far, and start a new signal."""
        super().reset()
        windows = HOLD_BYTES // (analysis_bytes(self._config) * self.channels)
        self._held: deque[tuple[int, Sequence[Heard]]] = deque(maxlen=max(1, windows))
        self._given_up: list[str] = []

    def given_up(self) -> list[str]:
        """Sources that are no longer wanted, since the last call: all that came out of them.

        What comes out after this call, of the same name, has begun anew.
        """
        names, self._given_up = self._given_up, []
        return names

    def _held_bytes(self) -> int:
        return analysis_bytes(self._config)

    def _look(self, index: int, heard: Sequence[Heard]) -> None:
        self._held.append((index, heard))
        known = zip(self._config.categories, self._tracker.candidates, strict=True)
        for position, (name, is_candidate) in enumerate(known):
            has_track = name in self._output.tracks
            if is_candidate and not has_track:
                self._begin_track(position)
            elif has_track and not is_candidate:
                self._output.drop(name)
                self._given_up.append(name)

    def _begin_track(self, position: int) -> None:
        """Begin a track with the windows held; the newest of them is added after this."""
        *past, (_, newest) = self._held
        windows = [*(window for _, heard in past for window in heard), *newest]
        self._rounds_of.more(windows, position)
        first = past[0][0] if past else self._windows
        name = self._config.categories[position]
        track = Track(self._layout, self.channels, first, self._first_whole(first))
        self._output.tracks[name] = track
        for index, heard in past:
            size = self._layout.final(index) - self._layout.final(index - 1)
            track.join(self._rounds_of.take(heard, position), size)
            if self._settled(index - 1) >= track.start:
                self._output.catch_up(name, self._settled(index - 1), self._settled(index))

    def _first_whole(self, first: int) -> int:
        """First sample of the output that is right where window ``first`` is the first known."""
        if first == 0:
            return 0
        known = self._layout.final(first - 1) + self._layout.fade
        index = first
        while self._from_model.source_span(self._settled(index), self._settled(index))[0] < known:
            index += 1
        return self._settled(index)
