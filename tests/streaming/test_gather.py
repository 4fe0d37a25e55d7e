"""Calls that wait at the same time go together, each with its own answer or the common error."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt._types import Analysis, Part
from sgn_rt.errors import EngineError
from sgn_rt.streaming.answers import Answer
from sgn_rt.streaming.gather import Gather


class Slow:
    """Answers a window by itself times each category; its first call waits."""

    def __init__(self, batch=4):
        self.active = SimpleNamespace(name="slow", concurrency=1, batch=batch)
        self.calls, self.begun, self.go = [], threading.Event(), threading.Event()
        self.error = None

    def answer(self, windows, wanted, chosen, parts):
        self.calls.append((len(windows), chosen.tolist()))
        self.begun.set()
        assert self.go.wait(60)
        if self.error is not None and len(self.calls) > 1:
            raise self.error
        return [
            Answer(w, Analysis(w, None), np.stack([w * c for c in chosen]), self.active)
            for w in windows
        ]


def gathered(slow, chosen, wanted=None):
    """One call under way, and others that came meanwhile; what each got."""
    gather = Gather(slow)
    part = [Part(0, 3)]

    def ask(number):
        rows = np.array(chosen[number])
        window = np.full(3, number + 1, np.float32)
        (answer,) = gather.answer([window], wanted, rows, part)
        return answer.sources[:, 0].tolist()

    with ThreadPoolExecutor(len(chosen)) as threads:
        asked = [threads.submit(ask, 0)]
        assert slow.begun.wait(60)
        for number in range(1, len(chosen)):
            asked.append(threads.submit(ask, number))
            while len(gather._waiting) < number:
                threading.Event().wait(0.001)
        slow.go.set()
        return [each.exception() or each.result() for each in asked]


def test_those_that_wait_go_together_with_the_union_of_what_they_choose():
    slow = Slow()
    got = gathered(slow, [[1], [3, 2], [2], [5, 1], [2], [4]])
    assert slow.calls == [(1, [1]), (4, [1, 2, 3, 5]), (1, [4])]
    assert got == [[1.0], [6.0, 4.0], [6.0], [20.0, 4.0], [10.0], [24.0]]


def test_an_error_is_that_of_each_in_the_call():
    slow = Slow()
    slow.error = EngineError("slow: got an error, expected none. Choose another.")
    got = gathered(slow, [[1], [2], [3]])
    assert got == [[1.0], slow.error, slow.error]


@pytest.mark.parametrize("batch", [1])
def test_an_engine_that_takes_one_at_a_time_is_asked_as_it_is(batch):
    slow = Slow(batch)
    slow.go.set()
    Gather(slow).answer([np.zeros(3, np.float32)], None, np.array([1]), [Part(0, 3)])
    assert slow.calls == [(1, [1])]
