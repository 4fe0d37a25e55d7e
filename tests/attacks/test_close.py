"""`close` while others are at work: they end with what they have, or with a clear error."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sgn_rt._process import Workers
from sgn_rt._types import Part
from sgn_rt.engines.factory import open_engine
from sgn_rt.engines.guarded import GuardedEngine
from sgn_rt.errors import EngineError, SgnError
from sgn_rt.model.bundle import Bundle

AFTER = r"separator: got a call after close\(\), expected none"


def guard(engines, parity="fallback"):
    return GuardedEngine(list(engines), engines.__getitem__, lambda engine: None, parity)


def test_no_call_after_close(fake_engine, config, noise):
    engine = fake_engine(config)
    freed = []
    engine.close = lambda: freed.append(True)
    guarded = guard({"fake": engine})
    guarded.close()
    assert freed == [True]
    with pytest.raises(SgnError, match=AFTER):
        guarded.answer(noise(1, 1016), None, np.array([0]), [Part(0, 1016)])
    assert engine.calls == 0


@pytest.mark.parametrize("parity", ["fallback", "off"])
def test_an_engine_that_is_closed_under_a_call_is_not_replaced(fake_engine, config, noise, parity):
    """What fails then is nobody's fault: no warning, and no engine opened that nobody closes."""

    def close_and_fail(call, answer):
        guarded.close()
        raise RuntimeError("freed")

    engines = {"first": fake_engine(config, "first", fault=close_and_fail),
               "second": fake_engine(config, "second")}  # fmt: skip
    guarded = guard(engines, parity)
    with pytest.raises(SgnError, match=AFTER) as caught:
        guarded.answer(noise(1, 1016), None, np.array([0]), [Part(0, 1016)])
    assert not isinstance(caught.value, EngineError)
    assert guarded.replacements == []
    assert engines["second"].calls == 0


def test_workers_closed_between_two_jobs():
    """What began is done, and the next is an SgnError; never the executor's own RuntimeError."""
    workers, closing = Workers(1, "separator"), threading.Event()
    running = workers.submit(closing.wait, 30)
    workers.shutdown(wait=False)
    with pytest.raises(SgnError, match=AFTER):
        workers.submit(abs, -1)
    with pytest.raises(SgnError, match=AFTER):
        list(workers.map(abs, [-1, -2]))
    closing.set()
    assert running.result(timeout=30)


def test_no_thread_to_be_had_is_not_said_to_be_closed(monkeypatch):
    workers = Workers(1, "separator")

    def none_left(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        workers.submit(abs, -1)


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("window", [1, 2, 3, 4])
def test_a_separator_closed_by_another_thread(
    open_fakes, fake_engine, config, noise, concurrency, window
):
    """While it is at a window, with the engine in threads of its own or in the caller's."""
    reached, freed, errors = threading.Event(), [], []

    def at_window(call, answer):
        if call == window:
            reached.set()
        return answer

    engine = fake_engine(config, "first", fault=at_window, concurrency=concurrency)
    engine.close = lambda: freed.append(True)
    separator = open_fakes({"first": engine, "second": fake_engine(config, "second")})

    def work():
        try:
            while True:
                separator.separate(noise(1, 6000), ["bell"], sample_rate=8000)
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    assert reached.wait(timeout=60)
    separator.close()
    worker.join(timeout=60)
    assert not worker.is_alive()
    assert [type(error) for error in errors] == [SgnError]
    assert "after close()" in str(errors[0])
    assert freed == [True]
    with pytest.raises(SgnError, match=AFTER):
        separator.separate(noise(1, 6000), ["bell"], sample_rate=8000)


def test_close_frees_the_engine_and_the_one_that_checks_it(open_fakes, fake_engine, config):
    freed = []
    engines = {name: fake_engine(config, name) for name in ("first", "onnxruntime")}
    for name, engine in engines.items():
        engine.close = lambda name=name: freed.append(name)
    open_fakes(engines, check_every=1).close()
    assert freed == ["first", "onnxruntime"]


def test_a_session_that_is_closed_is_no_more(exported):
    """ONNX Runtime's memory goes with the engine, which then fails in its own words."""
    engine = open_engine("onnxruntime", Bundle.open(exported))
    window = np.zeros((1, engine.config.window_samples), np.float32)
    engine.separate(window, np.array([0]))
    engine.close()
    with pytest.raises(EngineError, match="got a call after close, expected none"):
        engine.separate(window, np.array([0]))
