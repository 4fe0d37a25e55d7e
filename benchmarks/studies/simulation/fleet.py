"""A fleet of GPUs over a day: streams come and go, GPUs fail, more are started and stopped.

Streams of one kind are alike and forget how long they have been there, so of each GPU only their
number counts: how many leave in a tick is a binomial number, how many come a Poisson one. What is
late is then told by `Population`: by a curve, or by the simulation of every window.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, exp, pi
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sgn_rt.benchmarks.studies.simulation.capacity import LatenessCurve

DAY_S: Final = 86_400.0
Placement: TypeAlias = Literal["spread", "pack"]
Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A day of a fleet. Times in seconds.

    Attributes
    ----------
    peak_streams
        At the busiest moment, in the mean; a day is a sine, least at its beginning.
    night_share
        Of the peak, at the quietest moment.
    stay_s
        Mean time that a stream stays.
    room
        Streams that a GPU takes at most.
    headroom
        Share of that room that the autoscaler keeps free, for what comes while a GPU starts, and
        for streams of one that fails.
    start_s
        From asking for a GPU until it takes streams.
    drain_s
        A GPU that is to be stopped takes no more streams; what is left after so long moves on.
    failures_s
        Mean time from a GPU's start to its failure.
    tick_s
        At which the fleet acts.
    seconds
        Simulated, one day of them.
    placement
        New streams to the emptiest GPU (spread), or to the fullest with room (pack).
    """

    peak_streams: float = 1e6
    night_share: float = 0.3
    stay_s: float = 1800.0
    room: int
    headroom: float = 0.1
    start_s: float = 300.0
    drain_s: float = 1800.0
    failures_s: float = 30 * DAY_S
    tick_s: float = 10.0
    seconds: float = DAY_S
    placement: Placement = "spread"

    def expected(self, time_s: float) -> float:
        """Streams that there are in the mean, where none is refused."""
        day = (1 - cos(2 * pi * time_s / self.seconds)) / 2
        return self.peak_streams * (self.night_share + (1 - self.night_share) * day)


class Population(Protocol):
    """The streams of a fleet, by the number of their GPU."""

    def leave(self, streams: Ints, tick_s: float) -> Ints:
        """How many of each GPU end in a tick."""
        ...

    def join(self, gpu: int, count: int) -> None:
        """Streams that a GPU gets."""
        ...

    def clear(self, gpu: int) -> None:
        """A GPU loses all of its streams."""
        ...

    def live(self, streams: Ints, begin_s: float, tick_s: float) -> None:
        """A tick passes, with so many streams on each."""
        ...


class Counted:
    """Only numbers; how late they are, by the curve of a GPU."""

    def __init__(self, curve: LatenessCurve, stay_s: float, rng: np.random.Generator) -> None:
        self.curve, self._rng, self._stay_s = curve, rng, stay_s
        self.weights = np.zeros(len(curve.loads))

    def leave(self, streams: Ints, tick_s: float) -> Ints:
        """A binomial number of each."""
        return self._rng.binomial(streams, 1 - exp(-tick_s / self._stay_s))

    def join(self, gpu: int, count: int) -> None:
        """Nothing more to know than the number."""

    def clear(self, gpu: int) -> None:
        """As above."""

    def live(self, streams: Ints, begin_s: float, tick_s: float) -> None:
        """Count what load they are at."""
        del begin_s, tick_s
        self.weights += self.curve.weights(streams[streams > 0])


@dataclass(slots=True)
class Day:
    """What a day came to.

    Attributes
    ----------
    time_s, streams, gpus, refused
        At every tick; GPUs that are paid for, starting and draining ones among them.
    arrived, refused_streams, moved, lost, failed
        Streams that came, that found no room, that moved on to another GPU, that found none when
        they had to, and GPUs that failed.
    """

    time_s: list[float]
    streams: list[int]
    gpus: list[int]
    refused: list[int]
    arrived: int = 0
    refused_streams: int = 0
    moved: int = 0
    lost: int = 0
    failed: int = 0

    @property
    def gpu_per_stream(self) -> float:
        """GPU-hours per stream-hour."""
        return sum(self.gpus) / max(1, sum(self.streams))


_OFF, _STARTING, _ON, _DRAINING = range(4)


class Fleet:
    """GPUs and who is on them.

    Parameters
    ----------
    plan
        The day.
    population
        The streams.
    rng
        For arrivals and failures.
    """

    def __init__(self, plan: Plan, population: Population, rng: np.random.Generator) -> None:
        self.plan, self.population, self._rng = plan, population, rng
        most = 4 + 3 * ceil(plan.peak_streams / plan.room / (1 - plan.headroom))
        self.streams = np.zeros(most, np.int64)
        self._state = np.zeros(most, np.int8)
        self._since = np.zeros(most)
        self._growth = 0.0

    def run(self) -> Day:
        """Live through the day, from its quietest moment."""
        plan, day = self.plan, Day([], [], [], [])
        self._state[: self._wanted(plan.expected(0.0))] = _ON
        self._place(int(self._rng.poisson(plan.expected(0.0))))
        for tick in range(round(plan.seconds / plan.tick_s)):
            now = tick * plan.tick_s
            before = int(self.streams.sum())
            self.streams -= self.population.leave(self.streams, plan.tick_s)
            self._fail(day)
            self._end_draining(now, day)
            come = int(self._rng.poisson(self._rate(now) * plan.tick_s))
            refused = self._place(come)
            day.arrived += come
            day.refused_streams += refused
            self._scale(now, int(self.streams.sum()) - before)
            self.population.live(self.streams, now, plan.tick_s)
            day.time_s.append(now)
            day.streams.append(int(self.streams.sum()))
            day.gpus.append(int(np.count_nonzero(self._state)))
            day.refused.append(refused)
        return day

    def _rate(self, time_s: float) -> float:
        """Streams a second that come: those that keep the expected number, and its change."""
        plan = self.plan
        change = (plan.expected(time_s + 1.0) - plan.expected(time_s - 1.0)) / 2
        return max(0.0, plan.expected(time_s) / plan.stay_s + change)

    def _wanted(self, streams: float) -> int:
        plan = self.plan
        return max(1, ceil(streams / (plan.room * (1 - plan.headroom))))

    def _place(self, count: int) -> int:
        """Give streams to GPUs; how many found no room."""
        on = np.flatnonzero(self._state == _ON)
        room = np.maximum(0, self.plan.room - self.streams[on])
        count, refused = min(count, int(room.sum())), max(0, count - int(room.sum()))
        if count == 0:
            return refused
        if self.plan.placement == "pack":
            order = np.argsort(-self.streams[on], kind="stable")
            before = np.cumsum(room[order]) - room[order]
            given = np.zeros(len(on), np.int64)
            given[order] = np.clip(count - before, 0, room[order])
        else:
            given = _levelled(self.streams[on], room, count)
        self.streams[on] += given
        for index in np.flatnonzero(given).tolist():
            self.population.join(int(on[index]), int(given[index]))
        return refused

    def _move(self, gpu: int, day: Day) -> None:
        """All streams of a GPU go on elsewhere."""
        count = int(self.streams[gpu])
        self.population.clear(gpu)
        self.streams[gpu] = 0
        self._state[gpu] = _OFF
        lost = self._place(count)
        day.moved += count - lost
        day.lost += lost

    def _fail(self, day: Day) -> None:
        chance = 1 - exp(-self.plan.tick_s / self.plan.failures_s)
        running = np.flatnonzero(self._state >= _ON)
        for gpu in running[self._rng.random(len(running)) < chance].tolist():
            day.failed += 1
            self._move(gpu, day)

    def _end_draining(self, now: float, day: Day) -> None:
        draining = np.flatnonzero(self._state == _DRAINING)
        over = now - self._since[draining] >= self.plan.drain_s
        for gpu in draining[over | (self.streams[draining] == 0)].tolist():
            self._move(gpu, day)

    def _scale(self, now: float, grown: int) -> None:
        """Start what will be wanted when it is there; stop what has been too much."""
        plan = self.plan
        ready = (self._state == _STARTING) & (now - self._since >= plan.start_s)
        self._state[ready] = _ON
        weight = min(1.0, plan.tick_s / plan.start_s)
        self._growth += weight * (grown / plan.tick_s - self._growth)
        streams = int(self.streams.sum())
        wanted = self._wanted(streams + max(0.0, self._growth) * plan.start_s)
        there = np.flatnonzero((self._state == _ON) | (self._state == _STARTING))
        if len(there) < wanted:
            # One that drains is there already.
            draining = np.flatnonzero(self._state == _DRAINING)
            back = draining[np.argsort(-self.streams[draining])][: wanted - len(there)]
            self._state[back] = _ON
            new = np.flatnonzero(self._state == _OFF)[: wanted - len(there) - len(back)]
            self._state[new], self._since[new] = _STARTING, now
        elif len(there) > ceil(1.02 * wanted):
            on = np.flatnonzero(self._state == _ON)
            emptiest = on[np.argsort(self.streams[on], kind="stable")]
            stop = emptiest[: min(len(there) - ceil(1.02 * wanted), len(on) - 1)]
            self._state[stop], self._since[stop] = _DRAINING, now


def _levelled(streams: Ints, room: Ints, count: int) -> Ints:
    """Fill the emptiest first, up to one level as far as there is room."""
    order = np.argsort(streams, kind="stable")
    sorted_streams = streams[order]
    # With a level at the k-th, the first k take level * k - their sum.
    places = np.arange(1, len(order) + 1)
    level = (count + np.cumsum(sorted_streams)) // places
    reached = np.flatnonzero(level >= sorted_streams)[-1]
    given = np.zeros(len(order), np.int64)
    given[order[: reached + 1]] = level[reached] - sorted_streams[: reached + 1]
    given = np.minimum(np.maximum(given, 0), room)
    # What rounding, or a room that is full, left over.
    rest = count - int(given.sum())
    while rest > 0:
        free = order[(room - given)[order] > 0]
        share = max(1, rest // len(free))
        for index in free.tolist():
            more = min(share, int(room[index] - given[index]), rest)
            given[index] += more
            rest -= more
            if rest == 0:
                break
    return given
