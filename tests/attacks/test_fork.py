"""A process forked after the first use, and pickles: a clear error, never a wait without end."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from sgn_rt._process import OneProcess, Workers
from sgn_rt._types import Part
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
    guarded.answer(window, None, none, [Part(0, window.shape[1])])
    for work in (
        lambda: guarded.answer(window, None, none, [Part(0, window.shape[1])]),
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


def test_every_object_with_threads_or_sessions_is_of_one_process():
    from sgn_rt.engines.base import Engine
    from sgn_rt.separator import Separator
    from sgn_rt.streaming.stream import Stream

    for kind in (Engine, GuardedEngine, Separator, Stream):
        assert issubclass(kind, OneProcess), kind


@needs_fork
def test_the_shipped_model_after_first_use(tmp_path):
    """The whole of it, in processes of their own: real threads, real sessions."""
    pytest.importorskip("onnxruntime")
    script = textwrap.dedent("""
        import multiprocessing, pickle, sys, warnings
        import numpy as np
        import sgn_rt
        warnings.simplefilter("ignore")
        noise = np.random.default_rng(0).standard_normal(30000).astype("f4") * 0.1
        separator = sgn_rt.Separator.open(engine="onnxruntime", threads=2)
        stream = separator.stream(sample_rate=11025)

        def separate(_):
            said = []
            for work in (
                lambda: separator.separate(noise, ["tuba"], sample_rate=11025),
                lambda: stream.feed(noise),
                lambda: stream.flush(),
            ):
                try:
                    work()
                    said.append("no error")
                except sgn_rt.SgnError as error:
                    said.append(str(error))
            with sgn_rt.Separator.open(engine="onnxruntime", threads=2) as own:
                said.append(float(np.abs(own.separate(
                    noise, ["tuba"], sample_rate=11025).sources["tuba"]).max()))
            return said

        separator.separate(noise, ["tuba"], sample_rate=11025)
        stream.feed(noise)
        with multiprocessing.get_context("fork").Pool(1) as pool:
            *errors, own = pool.map_async(separate, [0]).get(timeout=240)[0]
        assert all("forked" in error for error in errors), errors
        assert own > 0
        for what in (separator, stream):
            try:
                pickle.dumps(what)
            except sgn_rt.SgnError as error:
                assert "Send what it was opened with" in str(error)
            else:
                sys.exit("pickled")
        separator.close()
        print("held")
    """)
    path = Path(tmp_path / "forks.py")
    path.write_text(script)
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout == "held\n", done.stderr
