"""The inside of a hub: signals of many streams, computed by the threads of one engine."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np

from sgn_rt._process import OneProcess, closed
from sgn_rt._types import Positions
from sgn_rt.errors import EngineError, OverloadError, SgnError
from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.answers import Separates
from sgn_rt.streaming.hub.capacity import Capacity
from sgn_rt.streaming.hub.crew import Crew, Turn
from sgn_rt.streaming.hub.desk import Call, Desk, Piece
from sgn_rt.streaming.hub.flow import Flow, Pending
from sgn_rt.streaming.hub.overload import Overload
from sgn_rt.streaming.hub.policies import POLICIES, Policy, passed
from sgn_rt.streaming.hub.stats import BatchDone, HubStats, Tally
from sgn_rt.streaming.jobs import Heard, ask
from sgn_rt.streaming.settings import StreamSettings

log = logging.getLogger(__name__)

SHARE: Final = 0.8
"""Of what the engine was measured to hold, that is given to streams where more are refused: beyond
it queues grow, and a machine has other things to do."""
BUFFER_S: Final = 5.0
"""Seconds of samples that may wait on either side of the network, beyond the latency."""
HANGS_S: Final = 10.0
"""A call of the engine hangs where it takes longer than this, and than `HANGS_CALLS` of them."""
HANGS_CALLS: Final = 20.0
OPENS_S: Final = 300.0
"""An engine that is to take over hangs where it takes longer than this to open and be proved."""


class Guarded(Separates, Protocol):
    """An engine in service that another can take over from."""

    @property
    def replacing(self) -> bool:
        """Whether another is about to take over."""
        ...

    @property
    def replacements(self) -> Sequence[str]:
        """What was said of those that did."""
        ...

    def give_up(self, engine: Any, error: EngineError) -> None:
        """Have another take over from one that hangs."""
        ...


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
        self._replacer: threading.Thread | None = None
        self._replacing_since_s: float | None = None
        self.desk, self.tally, self.capacity = Desk(), Tally(), Capacity()
        self.crew = Crew(self)

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
        heard = self._heard(pieces) if pieces else []
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

    def _heard(self, pieces: Sequence[Piece]) -> Sequence[Heard | Exception]:
        """What the engine makes of windows; where it fails on them, of each stream's alone."""
        flows = dict.fromkeys(piece.flow for piece in pieces)
        chosen = _union([flow.settings for flow in flows])
        try:
            heard = ask(self.engine, [piece.job for piece in pieces], chosen)
        except Exception as error:  # also a warning that someone has made an error
            if len(flows) == 1:
                log.warning("hub: a stream has failed: %s", error)
                return [error] * len(pieces)
            found: dict[Piece, Heard | Exception] = {}
            for flow in flows:
                own = [piece for piece in pieces if piece.flow is flow]
                found.update(zip(own, self._heard(own), strict=True))
            return [found[piece] for piece in pieces]
        return heard

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
        sources = len(_union([flow.settings for flow in flows]))
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
        """Give up calls that hang, and the engine with them."""
        limit_s = max(self._hangs_s, HANGS_CALLS * self.capacity.call_s)
        now, calls = self.clock(), self.desk.under_way()
        hanging = [call for call in calls if now - call.began_s > limit_s]
        if self._is_replacing:
            for call in calls:
                call.began_s = now  # what opens and proves an engine takes its time
            self._expect_replacement(now)
            return min(1.0, limit_s / 4)
        self._replacing_since_s = None
        if hanging:
            # In a thread of its own: the engine that is to take over may hang as well.
            self._replacer = threading.Thread(
                target=self._give_up,
                args=(hanging, limit_s),
                name="sgn-rt-hub-replacer",
                daemon=True,
            )
            self._replacer.start()
        return min(1.0, limit_s / 4)

    @property
    def _is_replacing(self) -> bool:
        return self.engine.replacing or (self._replacer is not None and self._replacer.is_alive())

    def _expect_replacement(self, now: float) -> None:
        """End all streams where no engine takes over in time."""
        if self._replacing_since_s is None:
            self._replacing_since_s = now
        if now - self._replacing_since_s > OPENS_S:
            self.fail(
                EngineError(
                    f"{self.engine.active.name}: got no other engine in its place within "
                    f"{OPENS_S:.0f} s, expected one to open. Look at the device's load and its "
                    "driver's log."
                )
            )

    def _give_up(self, calls: Sequence[Call], limit_s: float) -> None:
        for call in calls:
            error = EngineError(
                f"{call.engine.name}: got no answer within {limit_s:.1f} s, expected one. "
                "Look at the device's load and its driver's log."
            )
            try:
                self.engine.give_up(call.engine, error)
            except SgnError as none_left:
                self.fail(none_left)
            except Warning:  # that someone has made an error: the other engine is in service
                log.exception("hub: a warning was raised as an error")
            if self.desk.take_away(call):
                self.tally.count("given_up")
                log.warning("hub: %d windows of a call that hangs go again", len(call.pieces))
                self.crew.abandon(call.thread)
                self.crew.wake()

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
        if self._replacer is not None:
            self._replacer.join(self._hangs_s)


def _advance(pieces: Sequence[Piece]) -> None:
    """Have signals go on that an answer has come for: in their order, each once."""
    for flow in dict.fromkeys(piece.flow for piece in pieces):
        flow.advance()


def _union(settings: Sequence[StreamSettings]) -> Positions:
    """Categories of streams together; of one alone in its own order."""
    first, *others = settings
    own = first.positions(first.named)
    if not others:
        return own
    all_of_them = [own, *(other.positions(other.named) for other in others)]
    together: Positions = np.unique(np.concatenate(all_of_them))
    return together
