"""A recording's categories found while its windows go by: the network runs once for each.

A category that may turn out present is synthesised from then on. The latest windows are held, so
that most tracks begin with the recording; what lies before them is computed when the rest is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.jobs import Heard
from sgn_rt.streaming.stream import Stream
from sgn_rt.streaming.track import Track

HOLD_BYTES: Final = 32 << 20
"""Of windows held: 6 of the published model (27 s of mono), the size of a few tracks of output."""


def analysis_bytes(config: ModelConfig) -> int:
    """About what an engine keeps of a window to make sources of: basis maps and spectrum."""
    basis = config.maps * config.frequency_bins * config.frames
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
        state = self._state
        self._held.append((index, heard))
        known = zip(self._config.categories, state.tracker.candidates, strict=True)
        for position, (name, is_candidate) in enumerate(known):
            has_track = name in state.output.tracks
            if is_candidate and not has_track:
                self._begin_track(position)
            elif has_track and not is_candidate:
                state.output.drop(name)
                self._given_up.append(name)
        for name in state.output.tracks:  # windows may have begun before the track
            self._rounds_of.more(heard, self._config.categories.index(name))

    def _begin_track(self, position: int) -> None:
        """Begin a track with the windows held; the newest of them is added after this."""
        state = self._state
        *past, (newest, _) = self._held
        self._rounds_of.more([channel for _, heard in self._held for channel in heard], position)
        first = past[0][0] if past else newest
        name = self._config.categories[position]
        skip = state.grid.fade(first - 1) if first else 0
        begin, whole = state.grid.final(first - 1) + skip, self._first_whole(first)
        track = Track(self.channels, begin=begin, skip=skip, start=whole)
        state.output.tracks[name] = track
        for index, heard in past:
            size = state.grid.final(index) - state.grid.final(index - 1)
            track.join([channel.sources.pop(position) for channel in heard], size)
            if state.settled(index - 1) >= track.start:
                state.output.catch_up(name, state.settled(index - 1), state.settled(index))

    def _first_whole(self, first: int) -> int:
        """First sample of the output that is right where window ``first`` is the first known."""
        state, from_model = self._state, self._settings.from_model
        if first == 0:
            return 0
        known = state.grid.final(first - 1) + state.grid.fade(first - 1)
        index = first
        while from_model.source_span(state.settled(index), state.settled(index))[0] < known:
            index += 1
        return state.settled(index)
