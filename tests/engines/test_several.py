"""Engines on several GPUs as one: whichever is free, and no sample lost where one fails."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sgn_rt._types import Part
from sgn_rt.engines.several import SeveralEngines
from sgn_rt.errors import EngineError, ParityError

WHOLE = Part(0, 1016)
ALL = np.arange(3)


def failing(*, until: int | None = None, error: str = "broken"):
    """Fails at every call, or at all before that one."""

    def fault(call, answer):
        if until is None or call < until:
            raise EngineError(f"fake: got {error}, expected a result. Choose another.")
        return answer

    return fault


@pytest.fixture
def make(fake_engine, config):
    """Several fakes, some with a fault; what was told is in ``said``."""

    def several(*faults, replaces=True, **options):
        engines = {
            number: fake_engine(config, **options, **({} if fault is None else {"fault": fault}))
            for number, fault in enumerate(faults)
        }
        made = SeveralEngines("fake", engines, replaces=replaces)
        made.said = []
        made.on_loss = made.said.append
        made.fakes = engines
        return made

    return several


@pytest.fixture
def reference(fake_engine, config):
    return fake_engine(config)


def answer(engine, mixture, chosen=ALL, wanted=None):
    return engine.answer(list(mixture), wanted, chosen, [WHOLE] * len(mixture))


def test_calls_go_round_and_the_answers_are_those_of_one(make, reference, noise):
    several = make(None, None, None)
    mixture = noise(6, 1016)
    for window in mixture:
        got = several.separate(window[None], ALL)
        want = reference.separate(window[None], ALL)
        np.testing.assert_array_equal(got.sources, want.sources)
        np.testing.assert_array_equal(got.presence, want.presence)
    assert [fake.calls for fake in several.fakes.values()] == [2, 2, 2]


def test_it_wants_the_work_of_all(make):
    several = make(None, None, concurrency=2, batch=4)
    assert (several.concurrency, several.batch) == (4, 4)
    assert several.detail == "GPUs 0, 1: for tests"
    several.lose(several.fakes[0], EngineError("fake: got x, expected y. Do."))
    assert (several.concurrency, several.detail) == (2, "GPUs 1: for tests")


def test_a_call_goes_where_none_is_under_way(make, noise):
    both = threading.Barrier(2, timeout=60)

    def meet(call, answer):
        both.wait()
        return answer

    several = make(meet, meet)
    with ThreadPoolExecutor(2) as threads:
        done = [threads.submit(answer, several, noise(1, 1016)) for _ in range(2)]
        assert [len(each.result()) for each in done] == [1, 1]
    assert [fake.calls for fake in several.fakes.values()] == [1, 1]


def test_an_analysis_stays_with_the_engine_that_made_it(make, noise):
    several = make(None, None)
    analyses = [answer(several, window[None], ALL[:0])[0][0] for window in noise(4, 1016)]
    makers = [several.maker(analysis) for analysis in analyses]
    assert makers == [several.fakes[0], several.fakes[1]] * 2
    heard = []
    for fake in several.fakes.values():
        fake.hear = lambda found, *more, fake=fake: (
            heard.append((fake, len(found))) or type(fake).hear(fake, found, *more)
        )
    several.hear(analyses, ALL, [WHOLE] * 4)
    assert heard == [(several.fakes[0], 2), (several.fakes[1], 2)]


def test_one_that_fails_is_taken_out_and_its_windows_go_to_the_others(make, reference, noise):
    several = make(None, failing(), None)
    mixture = noise(6, 1016)
    for window in mixture:
        ((_, got),) = answer(several, window[None])
        np.testing.assert_array_equal(got, reference.separate(window[None], ALL).sources[0])
    assert several.said == several.lost
    (said,) = several.lost
    assert said.startswith("GPU 1 of fake is out of service, as fake: got broken")
    assert list(several.engines) == [0, 2]
    assert several.fakes[1].calls == 1


def test_what_is_late_of_one_that_is_out_is_made_by_another(make, reference, noise):
    several = make(None, None)
    mixture = noise(2, 1016)
    analyses = [answer(several, window[None], ALL[:0])[0][0] for window in mixture]
    out = several.maker(analyses[0])
    several.lose(out, EngineError("fake: got x, expected y. Do."))
    out.hear = lambda *arguments: pytest.fail("asked one that is out")
    heard = several.hear(analyses, ALL, [Part(100, 900, gain=2.0), WHOLE])
    want = reference.separate(mixture, ALL).sources
    np.testing.assert_array_equal(heard[0], 2.0 * want[0, :, 100:900])
    np.testing.assert_array_equal(heard[1], want[1])
    # It belongs to the other from now on.
    assert several.maker(analyses[0]) is several.maker(analyses[1])
    assert several.synthesize(analyses[0], ALL).shape == (3, 1016)


def test_one_that_fails_at_what_is_late_is_taken_out(make, reference, noise):
    several = make(None, None)
    mixture = noise(1, 1016)
    ((analysis, _),) = answer(several, mixture, ALL[:0])

    def fail(*arguments):
        raise EngineError("fake: got a late failure, expected sources. Do.")

    several.maker(analysis).hear = fail
    (got,) = several.hear([analysis], ALL, [WHOLE])
    np.testing.assert_array_equal(got, reference.separate(mixture, ALL).sources[0])
    assert len(several.lost) == 1


def test_the_last_one_raises_what_it_raised(make, noise):
    several = make(failing(error="first"), failing(error="second"))
    with pytest.raises(EngineError, match="got second"):
        answer(several, noise(1, 1016))
    assert len(several.lost) == 1
    assert list(several.engines) == [1]


def test_where_engines_are_not_replaced_the_first_failure_is_raised(make, noise):
    several = make(failing(), None, replaces=False)
    with pytest.raises(EngineError, match="got broken"):
        answer(several, noise(1, 1016))
    assert (several.lost, list(several.engines)) == ([], [0, 1])


def test_several_threads_find_a_failure_out_and_it_is_told_once(make, reference, noise):
    """Calls under way on it fail, too; each is made by another."""
    several = make(None, None)
    mixture = noise(8, 1016)
    analyses = [answer(several, window[None], ALL[:0])[0][0] for window in mixture]
    broken = several.maker(analyses[0])
    its = [row for row, each in enumerate(analyses) if several.maker(each) is broken]
    all_in = threading.Barrier(len(its), timeout=60)

    def fail(*arguments):
        all_in.wait()
        raise EngineError("fake: got broken, expected a result. Choose another.")

    broken.hear = fail
    with ThreadPoolExecutor(len(its)) as threads:
        found = threads.map(lambda row: several.hear([analyses[row]], ALL, [WHOLE])[0], its)
        np.testing.assert_array_equal(
            np.stack(list(found)), reference.separate(mixture[its], ALL).sources
        )
    assert len(its) == 4
    assert len(several.said) == 1
    assert all(several.maker(each) is not broken for each in analyses)


def test_each_is_proved_and_one_that_fails_is_taken_out(make):
    several = make(None, None, None)
    proved = []

    def prover(engine):
        proved.append(engine)
        if engine is several.fakes[0]:
            raise ParityError("fake: parity stage whole: got 3 dB, expected 90. Choose.")

    several.prove(prover)
    assert proved == list(several.fakes.values())
    assert list(several.engines) == [1, 2]
    assert "parity stage whole" in several.lost[0]


def test_sample_rates_are_converted_on_all_of_them(make):
    several = make(None, None)
    made = []
    for number, fake in several.fakes.items():
        fake.resampler = lambda *rates, number=number: made.append((number, rates))
    for _ in range(2):
        several.resampler(44100, 8000)
    assert made == [(0, (44100, 8000)), (1, (44100, 8000))]


def test_closing_closes_all_and_is_no_failure_of_one(make, noise):
    several = make(None, failing())
    closed = []
    for number, fake in several.fakes.items():
        fake.close = lambda number=number: closed.append(number)
    several.close()
    assert closed == [0, 1]
    answer(several, noise(1, 1016))
    with pytest.raises(EngineError, match="got broken"):
        answer(several, noise(1, 1016))
    assert several.said == []
