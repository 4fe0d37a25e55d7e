"""The inside of a hub: signals of many streams, computed by the threads of one engine."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from sgn_rt._process import OneProcess, closed
from sgn_rt.errors import OverloadError
from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.hub.asking import heard_of, union
from sgn_rt.streaming.hub.capacity import Capacity
from sgn_rt.streaming.hub.crew import Crew, Turn
from sgn_rt.streaming.hub.desk import Call, Desk, Piece
from sgn_rt.streaming.hub.flow import Flow, Pending
from sgn_rt.streaming.hub.overload import Overload
from sgn_rt.streaming.hub.policies import POLICIES, Policy, passed
from sgn_rt.streaming.hub.stats import BatchDone, HubStats, Tally
from sgn_rt.streaming.hub.watch import Guarded, Watch
from sgn_rt.streaming.jobs import Heard
from sgn_rt.streaming.settings import StreamSettings

log = logging.getLogger(__name__)

SHARE: Final = 0.8
"""Of what the engine was measured to hold, that is given to streams where more are refused: beyond
it queues grow, and a machine has other things to do."""
BUFFER_S: Final = 5.0
"""Seconds of samples that may wait on either side of the network, beyond the latency."""


OnBatch = Callable[[BatchDone], object]


class Switchboard(OneProcess):
    """Takes signals in, has their windows computed, and looks after what goes wrong.

    Parameters
    ----------
    engine
        In service.
    config
        The model's configuration.
    deadline_s
        How much later than it is due a window may come before it counts as late.
    overload
        What is done about that.
    on_batch
        Told of each call of the engine, in the thread that made it.
    buffer_s
        See `BUFFER_S`.
    hangs_s
        See `HANGS_S`.
    share
        See `SHARE`.
    clock
        Of all times, seconds.
    """

    def __init__(
        self,
        engine: Guarded,
        config: ModelConfig,
        *,
        deadline_s: float,
        overload: Overload,
        on_batch: OnBatch | None,
        buffer_s: float,
        hangs_s: float,
        share: float,
        clock: Callable[[], float],
    ) -> None:
        self.engine, self.config, self.clock = engine, config, clock
        self.deadline_s, self.overload, self._on_batch = deadline_s, overload, on_batch
        self._buffer_s, self._hangs_s, self._share = buffer_s, hangs_s, share
        self._policies: dict[Flow, Policy] = {}
        self._flows: dict[int, Flow] = {}
        self._keys = itertools.count()
        self._lock = threading.Lock()
        self.owner: object = None  # kept for as long as there are threads
        self._error: Exception | None = None
        self.desk, self.tally, self.capacity = Desk(), Tally(), Capacity()
        self.crew, self._watch = Crew(self), Watch(self, hangs_s)

    # Streams that come and go.

    def open(self, settings: StreamSettings) -> Flow:
        """Begin a stream.

        Raises
        ------
        OverloadError
            Where streams are refused, and this one would be too many.
        EngineError
            Where no engine is left.
        """
        with self._lock:
            self._expect_service()
            if self.overload == "refuse":
                self._expect_room(settings)
            key = next(self._keys)
            self.desk.open(key, settings.step_s)
            return self._begin(key, settings)

    def again(self, flow: Flow) -> Flow:
        """Forget a stream's signal, and begin its next."""
        with self._lock:
            self._expect_service()
            flow.give_up()
            self.desk.drop(flow.key)
            self.desk.pace(flow.key, flow.settings.step_s)
            self._policies.pop(flow, None)
            return self._begin(flow.key, flow.settings)

    def forget(self, flow: Flow) -> None:
        """A stream is gone; nothing happens where it is gone already."""
        flow.give_up()
        with self._lock:
            if self._flows.get(flow.key) is flow:
                del self._flows[flow.key]
                self._policies.pop(flow, None)
                self.desk.close(flow.key)

    def _begin(self, key: int, settings: StreamSettings) -> Flow:
        flow = Flow(key, settings, self, self._buffer_s)
        self._policies[flow] = POLICIES[self.overload](flow, self)
        self._flows[key] = flow
        return flow

    def fail(self, error: Exception) -> None:
        """There is nothing more to come, of any stream."""
        with self._lock:
            self._error = self._error or error
            flows = list(self._flows.values())
        for flow in flows:
            flow.fail(error)

    def _expect_service(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)

    def _demand(self, settings: StreamSettings) -> tuple[float, int]:
        return settings.channels / settings.step_s, len(settings.named)

    def load(self, *more: StreamSettings) -> float:
        """Share of the engine's time that the open streams need, and others with them."""
        wanted = [*(flow.settings for flow in list(self._flows.values())), *more]
        demands = [self._demand(settings) for settings in wanted]
        active = self.engine.active
        return self.capacity.load(demands, active.concurrency, active.batch)

    def _expect_room(self, settings: StreamSettings) -> None:
        load = self.load(settings)
        if load <= self._share:
            return
        self.tally.count("refused")
        rate, sources = self._demand(settings)
        active = self.engine.active
        most = self.capacity.windows_per_s(sources, active.concurrency, active.batch)
        raise OverloadError(
            f"hub: got a stream of {rate:.2f} windows/s that makes the load {100 * load:.0f} % of "
            f"what {active.name} holds, expected at most {100 * self._share:.0f} %, as it was "
            f"measured to answer {most:.1f} such windows/s. Close other streams, ask for more "
            "latency or fewer categories, or open it on another machine."
        )

    # What signals ask for (`flow.Owner`, `policies.Pace`).

    def most_windows(self, channels: int) -> int:
        """As many as keep all threads of the engine busy, should there be no other stream."""
        active = self.engine.active
        return max(2, -(-2 * active.concurrency * active.batch // channels))

    def wake(self, flow: Flow) -> None:
        """Have a signal advanced."""
        self.crew.wake(flow)

    def push(self, flow: Flow, pending: Pending) -> None:
        """Have a window computed."""
        self.desk.push(flow, pending)

    def pace(self, flow: Flow, step_s: float) -> None:
        """Windows of a stream come at another step."""
        self.desk.pace(flow.key, step_s)

    def added(self, flow: Flow, pending: Pending) -> None:
        """A window can be read; it may have been late."""
        lateness_s = self.clock() - pending.due_s
        late_s = lateness_s - self.deadline_s
        policy = self._policies.get(flow)
        if policy is None:
            return
        before = flow.overload["raised"]
        policy.added(pending, late_s)
        kinds = {
            "late": late_s > 0.0,
            "passed": bool(pending.passes),
            "longer-step": pending.longer,
            "raised": flow.overload["raised"] > before,
        }
        self.tally.added(lateness_s, *(kind for kind, applies in kinds.items() if applies))

    # What threads do (`crew.Work`).

    @property
    def concurrency(self) -> int:
        """Calls that are best in flight; none where all has failed."""
        return self.engine.active.concurrency if self._error is None else 0

    def turn(self) -> Turn:
        """Compute what waits, as much as goes into one call of the engine."""
        call, more = self.desk.take(self.engine.active, self.clock(), self._passes)
        if more:
            self.crew.wake()
        return Turn.IDLE if call is None else self._compute(call)

    def _passes(self, pending: Pending, flow: Flow) -> bool:
        policy = self._policies.get(flow)
        late_s = self.clock() + self.capacity.call_s - pending.due_s - self.deadline_s
        return policy is not None and policy.passes(late_s)

    def _compute(self, call: Call) -> Turn:
        for piece in call.passed:
            mixture = passed(piece.job, piece.flow.settings)
            piece.flow.answer(piece.pending, piece.channel, mixture)
        # They are late: they do not wait for a call that may never come back.
        _advance(call.passed)
        pieces = call.pieces
        began_s = self.clock()
        full = len(self.desk.under_way()) >= self.concurrency
        heard = heard_of(self.engine, pieces) if pieces else []
        if not self.desk.returned(call):
            return Turn.LOST
        done_s = self.clock()
        for piece, answer in zip(pieces, heard, strict=True):
            if isinstance(answer, Heard):
                piece.flow.answer(piece.pending, piece.channel, answer)
            else:
                piece.flow.fail(answer)
        _advance(pieces)
        if not pieces:
            self.capacity.doubt()
        else:
            self._tell(pieces, heard, began_s, done_s, full=full)
        return Turn.DONE

    def _tell(
        self,
        pieces: Sequence[Piece],
        heard: Sequence[Heard | Exception],
        began_s: float,
        done_s: float,
        *,
        full: bool,
    ) -> None:
        flows = dict.fromkeys(piece.flow for piece in pieces)
        queue_s = tuple(began_s - piece.pending.ready_s for piece in pieces)
        self.tally.called(queue_s)
        engines = [answer.engine for answer in heard if isinstance(answer, Heard)]
        if not engines:
            return
        full = full and len(pieces) >= self.engine.active.batch
        sources = len(union([flow.settings for flow in flows]))
        self.capacity.observe(done_s - began_s, sources, is_full=full)
        if self._on_batch is None:
            return
        late = sum(done_s > piece.pending.due_s + self.deadline_s for piece in pieces)
        done = BatchDone(
            windows=len(pieces),
            streams=len(flows),
            queue_s=queue_s,
            compute_s=done_s - began_s,
            engine=engines[0],
            late=late,
        )
        try:
            self._on_batch(done)
        except BaseException:  # a listener's mistake is not the streams', nor what it wants to end
            log.exception("hub: on_batch has raised")

    def watch(self) -> float:
        """Give up what hangs; seconds until it should be looked again."""
        return self._watch.look()

    def stats(self) -> HubStats:
        """Figures so far."""
        counts, active = self.tally.counts, self.engine.active
        flows = list(self._flows.values())
        sources = [len(flow.settings.named) for flow in flows] or [1]
        capacity = self.capacity.windows_per_s(
            float(np.mean(sources)), active.concurrency, active.batch
        )
        return HubStats(
            streams=len(flows),
            waiting=self.desk.waiting,
            windows=counts["windows"],
            batches=counts["batches"],
            late=counts["late"],
            passed=counts["passed"],
            refused=counts["refused"],
            raised=counts["raised"],
            longer_steps=counts["longer-step"],
            capacity=capacity if np.isfinite(capacity) else None,
            load=self.load(),
            engine=active.name,
            replacements=tuple(self.engine.replacements),
            given_up=counts["given_up"],
            **self.tally.percentiles(),
        )

    def start(self) -> None:
        """Measure the engine where that decides, and start the threads."""
        if self.overload == "refuse":
            self.capacity.measure(self.engine, self.config)
        self.crew.start()

    def close(self) -> None:
        """End all streams, and the threads."""
        self.fail(closed("hub"))
        self.crew.close(self._hangs_s)
        self._watch.wait()


def _advance(pieces: Sequence[Piece]) -> None:
    """Have signals go on that an answer has come for: in their order, each once."""
    for flow in dict.fromkeys(piece.flow for piece in pieces):
        flow.advance()
