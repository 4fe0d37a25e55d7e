"""A process forked after the first use, and pickles: a clear error, never a wait without end."""

from __future__ import annotations

import copy
import os
import pickle
import signal

import numpy as np
import pytest

from sgn_rt._process import Workers
from sgn_rt.engines.guarded import GuardedEngine
from sgn_rt.errors import SgnError

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def in_fork(work) -> str:
    """What a forked child says; it is ended if it hangs."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # the end of a child that waits for ever
        try:
            work()
            said = "no error"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def guarded(fake_engine, config):
    engine = fake_engine(config)
    return GuardedEngine(["fake"], lambda name: engine, lambda engine: None, "off")


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_engines_and_workers_say_it_in_the_child(guarded, noise):
    window, none = noise(1, 1016), np.array([0])
    workers = Workers(2, "separator")
    assert workers.submit(lambda: 7).result() == 7
    guarded.answer(window, None, none)
    for work in (
        lambda: guarded.answer(window, None, none),
        lambda: guarded.active.separate(window, none),
        lambda: list(workers.map(abs, [1])),
    ):
        said = in_fork(work)
        assert "SgnError" in said
        assert "in a process forked from the one that opened it" in said
        assert "after the fork, or start processes by 'spawn'" in said
    assert list(workers.map(abs, [-1])) == [1]
    workers.shutdown()


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_opens_its_own(fake_engine, config, guarded, noise):
    def work():
        engine = fake_engine(config)
        engine.separate(noise(1, 1016), np.array([0]))
        with Workers(2, "separator") as workers:
            assert list(workers.map(abs, [-1, -2, -3])) == [1, 2, 3]

    assert in_fork(work) == "no error"


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_pickles_say_what_to_do(guarded, way):
    for what in (guarded, guarded.active, Workers(1, "separator")):
        with pytest.raises(SgnError, match=r"pickle or copy .* Send what it was opened with"):
            way(what)
