"""One signal on its way through the hub: between its caller's thread and those that compute.

The caller writes `Flow.input` and reads `Flow.output`, and waits for nobody. All else is `advance`,
in whichever thread has something to bring: one at a time, and who comes meanwhile leaves it to the
one that is there.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.samples import LOUDEST, as_samples, without_tiny
from sgn_rt.streaming.hub.overload import OverloadSpans
from sgn_rt.streaming.hub.ring import Arrivals, Ring
from sgn_rt.streaming.jobs import Heard
from sgn_rt.streaming.presence_events import PresenceEvent, PresenceEvents
from sgn_rt.streaming.settings import StreamSettings
from sgn_rt.streaming.state import StreamState, Window

MOST_EVENTS: Final = 1000
"""Presence events that are kept for a caller who does not ask for them."""

SPAN_S: Final = 0.5
"""Seconds of input that wait for each other where no window needs them yet, or a tenth of what may
wait at most: a word to a thread for each block of an audio callback costs more than the block."""


@dataclass(slots=True, eq=False)
class Pending:
    """A window that has begun and was not added yet.

    Attributes
    ----------
    window
        Itself.
    ready_s, due_s
        When all that it sees had come, and when it is to be done, by the hub's clock.
    heard
        Channel -> what is heard of it, once that is known.
    longer
        Whether its step is longer than that of the stream's own layout.
    passes
        Whether the mixture goes in the place of its sources; None where that is open.
    """

    window: Window
    ready_s: float
    longer: bool = False
    due_s: float = 0.0
    passes: bool | None = None
    heard: dict[int, Heard] = field(default_factory=dict)


class Owner(Protocol):
    """What a signal needs of its hub."""

    clock: Callable[[], float]

    def most_windows(self, channels: int) -> int:
        """Windows of one signal that may wait or be computed at a time."""
        ...

    def wake(self, flow: Flow) -> None:
        """Have `advance` called soon; waits for nobody."""
        ...

    def push(self, flow: Flow, pending: Pending) -> None:
        """Have a window computed; its due time is set."""
        ...

    def added(self, flow: Flow, pending: Pending) -> None:
        """Told of a window whose samples can be read now."""
        ...

    def forget(self, flow: Flow) -> None:
        """Told of a signal that nobody wants any more."""
        ...


class Flow:
    """A signal of a stream, from its first sample to its last.

    Parameters
    ----------
    key
        Of the stream, the same for all its signals.
    settings
        Of the stream.
    owner
        The hub.
    buffer_s
        Seconds of samples that may wait on either side of the network, beyond the latency.

    Attributes
    ----------
    key, settings
        As given.
    input, output
        Samples of the caller, and for the caller: rows are categories and their channels.
    state
        Of the algorithm; of the thread in `advance` alone.
    error
        Why there is nothing more to come.
    late_error
        Why the caller is to be told, while all goes on.
    is_over, is_done
        Whether nobody wants it any more; whether all of it can be read.
    waiters
        Called, and forgotten, when something has changed.
    events
        That the caller has not taken.
    overload
        Windows that met the hub's policy, by what it did.
    spans
        Where it did that.
    """

    def __init__(self, key: int, settings: StreamSettings, owner: Owner, buffer_s: float) -> None:
        self.key, self.settings, self._owner = key, settings, owner
        rate = settings.sample_rate
        buffer = max(1, round(buffer_s * rate))
        rows = len(settings.names) * settings.channels
        window = round(settings.config.window_s * rate)
        self._span = max(1, min(round(SPAN_S * rate), buffer // 10))
        self.input = Ring(settings.channels, buffer)
        self.output = Ring(rows, max(window, settings.latency_samples) + buffer)
        self.state = StreamState(settings, map)
        self.error: Exception | None = None
        self.late_error: Exception | None = None
        self.is_over = self.is_done = False
        self.waiters: deque[Callable[[], object]] = deque()
        self.events: deque[PresenceEvent] = deque(maxlen=MOST_EVENTS)
        self.overload: Counter[str] = Counter()
        self.spans = OverloadSpans()
        self._arrivals = Arrivals(buffer + 2 * window)
        self._wanted = 1  # samples in all, from which on there is something to do about them
        self._ended_s: float | None = None
        self._blocked = self._was_blocked = False
        self._pending: dict[int, Pending] = {}
        self._presence = PresenceEvents.of(settings.rule, settings.config.categories)
        self._said: deque[str] = deque()
        self._lock, self._dirty, self._woken = threading.Lock(), False, False

    # What the caller does.

    def take(self, block: Any) -> bool:
        """Take a block of input; False, and nothing is taken, where there is no room for it.

        Raises
        ------
        AudioError
            As `as_samples`.
        """
        samples = self._as_array(block)
        count = samples.shape[1]
        if count > self.input.room:
            self._touch()  # what waits for more to come has to make room
            return False
        self.input.place(samples)
        for part in self.input.placed(count):
            # What is there now is ours, so nobody changes it meanwhile. Row by row: NumPy copies
            # several before it looks at them.
            if not all(_is_sound(row) for row in part):
                found = np.concatenate([*self.input.placed(count)], axis=1)
                as_samples(found, what="input", position=self.input.written)
        self._arrivals.add(self.input.written, self._owner.clock())
        self.input.commit(count)
        if self.input.written >= self._wanted:
            self._touch()
        elif self.waiters and self.ready:
            self.notify()
        return True

    def _as_array(self, block: Any) -> Float:
        """The block as float32 [channels, samples]: itself, or a copy that was checked."""
        channels = self.settings.channels
        if type(block) is np.ndarray and block.dtype == np.float32:
            if block.ndim == 1 and channels == 1:
                return block[None]
            if block.ndim == 2 and len(block) == channels:
                return block
        return as_samples(block, what="input", channels=channels, position=self.input.written)

    @property
    def ready(self) -> int:
        """Samples that can be read: no more than were fed less the latency, until it ends."""
        until = self.output.written
        if self._ended_s is None:
            until = min(until, self.input.written - self.settings.latency_samples)
        return max(0, until - self.output.read)

    def copy_to(self, out: dict[str, Float], samples: int) -> None:
        """Read samples that are ready into the first of each array [channels, any]."""
        channels = self.settings.channels
        for place, name in enumerate(self.settings.names):
            self.output.copy_to(out[name][:, :samples], place * channels)
        self.output.release(samples)
        if self._blocked and samples:
            self._touch()

    def end(self) -> None:
        """There is no more input."""
        if self._ended_s is None:
            self._ended_s = self._owner.clock()
        self._touch()

    @property
    def has_ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended_s is not None

    def said(self) -> str | None:
        """What the caller has to be warned of, once."""
        return self._said.popleft() if self._said else None

    def _touch(self) -> None:
        self._dirty = True
        if not self._woken:
            self._woken = True
            self._owner.wake(self)
        if self.waiters:
            self.notify()

    # What the hub does.

    def give_up(self) -> None:
        """Nobody wants it any more."""
        self.is_over = True
        self.notify()

    def abandon(self) -> None:
        """As `give_up`, from anywhere, also out of the garbage collector: takes no lock."""
        self.is_over = True
        self._touch()

    def fail(self, error: Exception) -> None:
        """There is nothing more to come, and the caller is told why."""
        if self.error is None:
            self.error = error
        self.notify()

    def notify(self) -> None:
        """Wake who waits."""
        while self.waiters:
            with suppress(IndexError):  # another thread has been faster
                self.waiters.popleft()()

    def answer(self, pending: Pending, channel: int, heard: Heard) -> None:
        """What is heard of a channel of a window; `advance` adds it when it is its turn."""
        pending.heard[channel] = heard
        self._dirty = True

    def advance(self) -> None:
        """Do all that can be done now, unless another thread is at it: then that one does it."""
        self._woken = False
        while self._dirty and self._lock.acquire(blocking=False):
            try:
                self._dirty = False
                if not self.is_over and self.error is None:
                    self._advance()
            except Exception as error:  # whatever it is, who waits has to be told
                self.fail(error)
            finally:
                self._lock.release()
        if self.is_over:
            self._owner.forget(self)
        self.notify()

    def _advance(self) -> None:
        self._add_answered()
        while self._begin_next():
            pass
        if self.state.is_whole and not self.is_done:
            self._blocked = True
            if self._has_room(self.state.fed):
                self.state.finish()
                self._put_out()
                self.is_done, self._blocked = True, False

    def _add_answered(self) -> None:
        channels = self.settings.channels
        while (pending := self._pending.get(self.state.added)) is not None:
            if len(pending.heard) < channels:
                return
            del self._pending[self.state.added]
            window = pending.window
            presence = self.state.add(window, [pending.heard[i] for i in range(channels)])
            if presence is not None:
                at_s = window.first / self.settings.config.sample_rate
                self.events.extend(self._presence.update(presence, at_s))
            self.state.output.collect()
            self._put_out()
            self._owner.added(self, pending)

    def _put_out(self) -> None:
        channels = self.settings.channels
        for piece in self.state.pieces():
            samples = 0
            for place, name in enumerate(self.settings.names):
                self.output.place(piece[name], place * channels)
                samples = piece[name].shape[1]
            self.output.commit(samples)
        # Of no categories there are no samples; but time goes by, and presence with it.
        self.output.commit(self.state.output.collected - self.output.written)

    def _has_room(self, until: int) -> bool:
        return until - self.output.read <= self.output.capacity

    def _begin_next(self) -> bool:
        """Take what the next window still needs, and begin it; False where that cannot be yet.

        Who feeds need not tell of more before that, nor where only an answer or a reader helps.
        """
        state, self._wanted = self.state, sys.maxsize
        if len(self._pending) >= self._owner.most_windows(self.settings.channels):
            return False
        ended = self._ended_s is not None  # before it is seen whether there is more
        needed = state.needed
        count = min(self.input.filled, needed - state.fed)
        if count > 0:
            block = np.empty((self.settings.channels, count), np.float32)
            self.input.copy_to(block)
            self.input.release(count)
            message = state.take(without_tiny(block))
            if message is not None:
                self._said.append(message)
        if ended and not self.input.filled:
            state.end()
        elif state.fed < needed:
            self._wanted = min(needed, state.fed + self._span)
            return self.input.written >= self._wanted  # it may have come before that was told
        until = state.settled(state.begun)
        self._blocked = True  # before it is seen whether it is, so that a reader that follows knows
        # The last window brings all that is left, however early its like would be final.
        if not self._has_room(state.fed if state.ended else until):
            self._was_blocked = True
            return False
        self._blocked = False
        window = state.begin()
        if window is None:
            return False
        self._begun(window, needed)
        return True

    def _begun(self, window: Window, needed: int) -> None:
        came_s = self._ended_s
        if came_s is None or self.state.fed >= needed:
            came_s = self._arrivals.at(needed - 1)
        if self._was_blocked:  # by a caller who did not read: the network is not late for that
            self._was_blocked, came_s = False, self._owner.clock()
        longer = self.state.grid.layout is not self.settings.layout
        pending = Pending(window, came_s, longer)
        self._pending[window.number] = pending
        self._owner.push(self, pending)


def _is_sound(row: Float) -> bool:
    """Whether samples are what `as_samples` takes; of nan neither comparison is true."""
    return not row.size or bool(row.max() <= LOUDEST and row.min() >= -LOUDEST)
