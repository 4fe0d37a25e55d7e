"""What tests of the hub share: streams alone to compare with, and a clock that stands still."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sgn_rt.streaming.hub.crew import Crew, Turn


@pytest.fixture(autouse=True)
def no_thread_is_left():
    """Of hubs that a test has opened: it, or who made them for it, has closed them."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("sgn-rt-hub"):
            thread.join(timeout=60)
            assert not thread.is_alive(), f"{thread.name} is left"


def _joined(pieces):
    return {name: np.concatenate([piece[name] for piece in pieces], axis=1) for name in pieces[0]}


@pytest.fixture
def joined():
    """Pieces of a stream as one."""
    return _joined


@pytest.fixture
def alone():
    """What `Separator.stream` makes of a signal."""

    def separated(separator, signal, **options):
        stream = separator.stream(channels=len(signal), **options)
        return _joined([stream.feed(signal), stream.flush()])

    return separated


@pytest.fixture
def same():
    """Two results are equal: bit for bit, or but for what batches round otherwise."""

    def compare(got, expected, atol=0.0):
        assert list(got) == list(expected)
        for name, samples in expected.items():
            assert got[name].shape == samples.shape, name
            np.testing.assert_allclose(got[name], samples, rtol=0, atol=atol, err_msg=name)

    return compare


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


class Gate:
    """A fault of an engine: calls wait until it is opened, and say that they have come."""

    def __init__(self):
        self.open, self.reached = threading.Event(), threading.Event()

    def __call__(self, call, answer):
        self.reached.set()
        assert self.open.wait(timeout=60)
        return answer


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.open.set()


class Still:
    """A hub without threads: what they would do is done when it is asked for, by whoever asks."""

    def __init__(self, hub):
        self.hub = hub

    def work(self):
        """Do all that there is to do."""
        board = self.hub._board
        while True:
            board.crew.heed()
            if board.turn() is Turn.IDLE:
                return

    def end(self, stream):
        """Close a stream, whose rest nobody else would compute."""
        pieces = []
        stream._flow.end()
        while not stream._flow.is_done and stream._flow.error is None:
            self.work()
            if stream._flow.ready:
                pieces.append(stream._taken(stream._flow))
        return _joined([*pieces, stream.close()])


@pytest.fixture
def still(monkeypatch, fake_separator):
    """Open a hub without threads on a fake engine."""
    monkeypatch.setattr(Crew, "start", lambda crew: None)

    def opened(engine=None, **options):
        made = fake_separator(**(engine or {}))
        hub = made.separator.hub(**({"overload": "raise", "deadline_s": 1e9} | options))
        found = Still(hub)
        found.engine, found.separator = made.engine, made.separator
        return found

    return opened
