"""Windows of several requests, without Triton: joined where engines like it, else alone."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt._types import Separated
from sgn_rt.errors import AudioError, CategoryError, EngineError
from sgn_rt.serving.triton.windows_service import Asked, WindowsService


@pytest.fixture
def serve(fake_separator):
    made = []

    def make(**engine):
        opened = fake_separator(**engine)
        service = WindowsService(opened.separator._service.engine, opened.separator.config)
        made.append(service)
        return service, opened.engine

    yield make
    for service in made:
        service.close()


def asked(noise, config, categories, seed=0):
    windows = np.stack([noise(1, config.window_samples, seed + i)[0]
                        for i in range(len(categories))])  # fmt: skip
    return Asked(windows, np.array(categories, np.int64))


@pytest.mark.parametrize("batch", [1, 2, 8])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_each_request_gets_its_own(serve, noise, config, batch, concurrency):
    service, engine = serve(batch=batch, concurrency=concurrency)
    requests = [
        asked(noise, config, [[0, 2], [2, 0]]),
        asked(noise, config, [[1]], seed=5),
        asked(noise, config, [[]], seed=6),
        asked(noise, config, [[1, 1, 0]], seed=7),
    ]
    answers = service.answer(requests)
    for request, answer in zip(requests, answers, strict=True):
        assert isinstance(answer, Separated)
        for row, (window, categories) in enumerate(zip(*request, strict=True)):
            expected = engine.separate(window[None], categories)
            np.testing.assert_array_equal(answer.sources[row], expected.sources[0])
            np.testing.assert_array_equal(answer.presence[row], expected.presence[0])


def test_an_engine_that_takes_several_gets_them_together(serve, noise, config):
    service, engine = serve(batch=4)
    engine.seen = []
    service.answer([asked(noise, config, [[i % 3]], seed=i) for i in range(6)])
    assert [len(windows) for windows in engine.seen] == [4, 2]


def test_a_wrong_request_is_refused_alone_and_never_reaches_the_engine(serve, noise, config):
    service, engine = serve(batch=4)
    engine.seen = []
    good = asked(noise, config, [[0]])
    silent_nan = Asked(np.full_like(good.mixture, np.nan), good.categories)
    too_loud = Asked(np.full_like(good.mixture, 1e10), good.categories)
    short = Asked(good.mixture[:, 1:], good.categories)
    unknown = Asked(good.mixture, np.array([[3]]))
    uneven = Asked(good.mixture, np.array([[0], [1]]))
    kinds = [type(answer) for answer in service.answer(
        [silent_nan, good, too_loud, short, unknown, uneven])]  # fmt: skip
    assert kinds == [AudioError, Separated, AudioError, AudioError, CategoryError, CategoryError]
    assert [len(windows) for windows in engine.seen] == [1]


def test_an_engine_that_fails_is_the_error_of_those_it_was_asked_for(serve, noise, config):
    def fail_first(call, answer):
        if call == 0:
            raise RuntimeError("broken")
        return answer

    service, _ = serve(fault=fail_first)
    answers = service.answer([asked(noise, config, [[0]], seed=seed) for seed in range(2)])
    assert sorted(type(answer).__name__ for answer in answers) == ["EngineError", "Separated"]
    assert any(isinstance(answer, EngineError) for answer in answers)


def test_requests_of_no_windows(serve, config):
    service, _ = serve()
    nothing = Asked(np.zeros((0, config.window_samples), np.float32), np.zeros((0, 2), np.int64))
    (answer,) = service.answer([nothing])
    assert isinstance(answer, Separated)
    assert service.answer([]) == []
