"""Fallback: one warning that names stage, figure and limit; no window lost; nothing silent."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

from sgn_rt._types import Part
from sgn_rt.engines.guarded import GuardedEngine
from sgn_rt.errors import (
    BundleError,
    CheckpointError,
    DependencyError,
    EngineError,
    ParityError,
    ParityWarning,
    UnavailableError,
)
from sgn_rt.model.contract import Precision
from sgn_rt.model.stages import Stage, limit_for

PROVED = 1  # windows that the start-up probe runs


def ask(guarded, windows):
    return guarded.answer(windows, None, np.array([0]), [Part(0, windows.shape[1])] * len(windows))


def scaled(call, answer):
    return answer._replace(sources=answer.sources * np.float32(0.9))


def at(first, fault):
    """A fault from window ``first`` after the start-up probe on."""
    return lambda call, answer: fault(answer) if call >= first + PROVED else answer


def nan(answer):
    answer.sources[0, 0, 100] = np.nan
    return answer


def explode(answer):
    raise RuntimeError("device lost")


def shorten(answer):
    return answer._replace(sources=answer.sources[..., :-1])


FAULTS = {"nan": nan, "exception": explode, "shape": shorten}


def separate(separator, signal, **options):
    return separator.separate(signal, ["bell", "horn"], sample_rate=8000, **options)


@pytest.fixture
def other(fake_engine, config):
    """An engine whose sources are not the first one's: it shows which computed what."""
    return fake_engine(config, "other", depends=False)


@pytest.fixture
def expected(fake_separator, noise):
    """What the right engine makes of `signal`."""
    signal = noise(2, 6000)
    return signal, separate(fake_separator().separator, signal).sources


def test_an_engine_that_fails_its_probe_is_replaced(open_fakes, fake_engine, config, expected):
    signal, sources = expected
    engines = {
        "first": fake_engine(config, "first", fault=scaled),
        "second": fake_engine(config, "second"),
    }
    with pytest.warns(ParityWarning) as caught:
        separator = open_fakes(engines)
    assert len(caught) == 1
    message = str(caught[0].message)
    limit = str(limit_for(Stage.LEVEL, Precision.FP32, config.log_epsilon)).strip()
    for part in ("now second", "first: parity stage level: got 0.1", limit):
        assert part in message
    with separator:
        assert separator.engine is engines["second"]
        assert [r.engine for r in separator.rejected] == ["first"]
        result = separate(separator, signal)
    assert result.engine == "second"
    assert list(result.windows) == ["second"]
    assert result.replacements == (message,)
    for name, source in sources.items():
        np.testing.assert_array_equal(result.sources[name], source)


def test_several_failures_are_still_one_warning(open_fakes, fake_engine, config):
    def flip(call, answer):
        return answer._replace(presence=1 - answer.presence)

    with pytest.warns(ParityWarning) as caught:
        separator = open_fakes(
            {
                "first": fake_engine(config, "first", fault=scaled),
                "missing": DependencyError("missing: got no package, expected it. Install it."),
                "second": fake_engine(config, "second", fault=flip),
                "third": fake_engine(config, "third"),
            }
        )
    separator.close()
    assert len(caught) == 1
    assert "first: parity stage level" in str(caught[0].message)
    assert "second: parity stage decision: got 2 categories" in str(caught[0].message)
    assert [r.engine for r in separator.rejected] == ["missing", "first", "second"]


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("window", [0, 3])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_failing_window_is_computed_by_the_next_engine(
    open_fakes, fake_engine, fake_separator, config, noise, kind, window, concurrency
):
    """From that very window on the output is the next engine's; before, it is the first one's."""
    signal = noise(1, 8000)
    first = fake_engine(config, "first", fault=at(window, FAULTS[kind]), concurrency=concurrency)
    second = fake_engine(config, "second")
    separator = open_fakes({"first": first, "second": second})
    with separator, pytest.warns(ParityWarning, match="now second, as first: ") as caught:
        result = separate(separator, signal, residual=True)
    assert len(caught) == 1
    alone = separate(fake_separator().separator, signal, residual=True)
    for name, source in alone.sources.items():
        np.testing.assert_array_equal(result.sources[name], source)
    assert result.windows == {
        key: count
        for key, count in {"first": window, "second": alone.windows["fake"] - window}.items()
        if count
    }
    assert result.engine == "second"
    assert len(result.replacements) == 1


def test_a_failing_batch_is_computed_whole_by_the_next_engine(
    open_fakes, fake_engine, fake_separator, config, noise
):
    signal = noise(1, 8000)
    first = fake_engine(config, "first", fault=at(1, FAULTS["exception"]), batch=2)
    separator = open_fakes({"first": first, "second": fake_engine(config, "second")})
    with separator, pytest.warns(ParityWarning, match="now second, as first: "):
        result = separate(separator, signal)
    alone = separate(fake_separator().separator, signal)
    for name, source in alone.sources.items():
        np.testing.assert_array_equal(result.sources[name], source)
    assert result.windows == {"first": 2, "second": alone.windows["fake"] - 2}


def test_the_output_is_the_next_engines_from_that_window_on(
    open_fakes, fake_engine, fake_separator, config, noise, other
):
    signal = noise(1, 8000)
    first = fake_engine(config, "first", fault=at(3, nan))
    guarded = GuardedEngine(
        ["first", "other"], {"first": first, "other": other}.__getitem__, lambda e: None, "fallback"
    )
    first.calls = PROVED
    separator = fake_separator().separator
    separator._service.engine = guarded
    separator._answers = guarded
    with pytest.warns(ParityWarning):
        mixed = separate(separator, signal).sources["bell"][0]
    firsts = separate(fake_separator().separator, signal).sources["bell"][0]
    others = separate(fake_separator(depends=False).separator, signal).sources["bell"][0]
    differs = np.flatnonzero(mixed != firsts)
    layout = separator.stream(sample_rate=8000)._settings.layout
    assert layout.final(2) <= differs[0] < layout.final(2) + 5
    np.testing.assert_array_equal(mixed[layout.final(2) + layout.fade :],
                                  others[layout.final(2) + layout.fade :])  # fmt: skip


def test_raise_means_raise_at_start_up(open_fakes, fake_engine, config, fails):
    engines = {"first": fake_engine(config, "first", fault=scaled), "second": fake_engine(config)}
    with fails(ParityError, "first: parity stage level: got 0.1"):
        open_fakes(engines, parity="raise")
    assert engines["second"].calls == 0


@pytest.mark.parametrize("parity", ["raise", "off"])
@pytest.mark.parametrize("kind", FAULTS)
def test_raise_and_off_raise_at_a_window(
    open_fakes, fake_engine, config, noise, fails, parity, kind
):
    fault = at(2 if parity == "raise" else 2 - PROVED, FAULTS[kind])
    engines = {"first": fake_engine(config, "first", fault=fault), "second": fake_engine(config)}
    with open_fakes(engines, parity=parity) as separator:
        with fails(EngineError, "first"):
            separate(separator, noise(1, 8000))
        assert separator.engine is engines["first"]
    assert engines["second"].calls == 0


def test_off_does_not_even_look(open_fakes, fake_engine, config):
    engine = fake_engine(config, "first", fault=scaled)
    with open_fakes({"first": engine}, parity="off") as separator:
        assert separator.engine is engine
        assert separator.parity == []
    assert engine.calls == 0


ABSENT = [
    DependencyError("first: got no package, expected one. Install it with pip."),
    UnavailableError("first: got no GPU, expected one. Choose another engine."),
]
BROKEN = [
    EngineError("first: got a graph that does not load, expected one. Export again."),
    CheckpointError("first: got no weights, expected some. Export again."),
    BundleError("first: got another SHA-256, expected the first. Copy it again."),
]


@pytest.mark.parametrize("error", ABSENT + BROKEN)
@pytest.mark.parametrize("parity", ["fallback", "raise", "off"])
def test_an_engine_asked_for_that_cannot_start_is_an_error(
    open_fakes, fake_engine, config, error, parity
):
    second = fake_engine(config, "second")
    with pytest.raises(type(error)) as caught:
        open_fakes({"first": error, "second": second}, engine="first", parity=parity)
    assert caught.value is error
    assert second.calls == 0


@pytest.mark.parametrize("error", ABSENT)
def test_auto_passes_over_what_is_not_here_and_says_why(open_fakes, fake_engine, config, error):
    """No warning: nothing was promised, and `rejected` holds the reason."""
    with open_fakes({"first": error, "second": fake_engine(config, "second")}) as separator:
        assert separator.engine.name == "second"
        assert [(r.engine, r.reason) for r in separator.rejected] == [("first", str(error))]


@pytest.mark.parametrize("error", BROKEN)
@pytest.mark.parametrize("parity", ["fallback", "off"])
def test_what_is_here_and_broken_is_never_replaced_in_silence(
    open_fakes, fake_engine, config, noise, error, parity
):
    engines = {"first": error, "second": fake_engine(config, "second")}
    with pytest.warns(ParityWarning) as caught:
        separator = open_fakes(engines, parity=parity)
    with separator:
        assert [str(w.message) for w in caught] == [f"now second, as {error}"]
        assert [(r.engine, r.reason) for r in separator.rejected] == [("first", str(error))]
        assert separate(separator, noise(1, 3000)).replacements == (f"now second, as {error}",)


@pytest.mark.parametrize("error", BROKEN)
def test_raise_means_raise_for_what_is_broken(open_fakes, fake_engine, config, error):
    second = fake_engine(config, "second")
    with pytest.raises(type(error)) as caught:
        open_fakes({"first": error, "second": second}, parity="raise")
    assert caught.value is error


@pytest.mark.parametrize("error", BROKEN)
def test_a_next_engine_that_is_broken_does_not_end_the_fallback(
    open_fakes, fake_engine, config, noise, error
):
    engines = {
        "first": fake_engine(config, "first", fault=at(0, nan)),
        "second": error,
        "third": fake_engine(config, "third"),
    }
    with open_fakes(engines) as separator, pytest.warns(ParityWarning) as caught:
        assert separate(separator, noise(1, 3000)).engine == "third"
    assert len(caught) == 1
    assert str(error) in str(caught[0].message)


def guard(engines, asked_for=None, parity="fallback"):
    """A guard of engines, by name: an engine, or why it does not start."""

    def opener(name):
        if isinstance(engines[name], Exception):
            raise engines[name]
        return engines[name]

    return GuardedEngine(list(engines), opener, lambda engine: None, parity, asked_for)


def test_another_graph_of_the_engine_asked_for_may_serve(fake_engine, config):
    other = fake_engine(config, "ort:waveform.fp32")
    engines = {"ort": BROKEN[0], "ort:waveform.fp32": other, "torch": fake_engine(config, "torch")}
    with pytest.warns(ParityWarning, match="now ort:waveform.fp32, as first: got a graph"):
        assert guard(engines, "ort").active is other
    engines["ort:waveform.fp32"] = BROKEN[1]
    with pytest.raises(CheckpointError):
        guard(engines, "ort")
    named = {"ort:core.fp32": BROKEN[0], "ort": other}
    with pytest.raises(EngineError, match="does not load"):
        guard(named, "ort:core.fp32")


def test_what_is_not_here_is_not_asked_for_again_with_each_graph(fake_engine, config):
    engines = {"ort": ABSENT[1], "ort:waveform.fp32": BROKEN[0], "torch": fake_engine(config)}
    guarded = guard(engines)
    assert [rejection.engine for rejection in guarded.rejected] == ["ort"]
    with pytest.raises(UnavailableError):
        guard(engines, "ort")


def test_failures_do_not_pile_up_where_nothing_is_left(fake_engine, config, noise):
    """A service that goes on asking: the list and the message stay what they are."""

    def fail(call, answer):
        raise RuntimeError(f"device lost, for the {call}th time")

    guarded = guard({"first": fake_engine(config, "first", fault=fail)})
    messages = []
    for _ in range(50):
        with pytest.raises(EngineError) as caught:
            ask(guarded, noise(1, 1016))
        messages.append(str(caught.value))
    assert len(guarded.rejected) == 1
    assert max(map(len, messages)) == len(messages[0])


def test_who_shows_the_warning_may_separate(fake_engine, config, noise, monkeypatch):
    """In a thread of its own, as a handler that logs to a service would: no lock is held."""
    engines = {
        "first": fake_engine(config, "first", fault=at(0, nan)),
        "second": fake_engine(config, "second", fault=at(1, nan)),
        "third": fake_engine(config, "third"),
    }
    engines["first"].calls = engines["second"].calls = PROVED
    guarded = guard(engines)
    names = []

    def show(*details, **more):
        if not names:
            names.append(None)
            for _ in range(2):
                helper = threading.Thread(
                    target=lambda: names.append(ask(guarded, noise(1, 1016))[0].engine.name),
                    daemon=True,
                )
                helper.start()
                helper.join(timeout=60)
                assert not helper.is_alive(), "the lock is held"

    monkeypatch.setattr(warnings, "showwarning", show)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", show)
        ask(guarded, noise(1, 1016))
    assert names[1:] == ["second", "third"]


def test_an_engine_asked_for_that_fails_its_probe_is_replaced(open_fakes, fake_engine, config):
    engines = {
        "first": fake_engine(config, "first"),
        "second": fake_engine(config, "second", fault=scaled),
    }
    with (
        pytest.warns(ParityWarning, match="now first, as second: parity stage"),
        open_fakes(engines, engine="second") as separator,
    ):
        assert separator.engine is engines["first"]


def test_none_left(open_fakes, fake_engine, config, noise, fails):
    with fails(EngineError, "got none that can serve", "one: parity stage", "two: two: got no"):
        open_fakes(
            {
                "one": fake_engine(config, "one", fault=scaled),
                "two": EngineError("two: got no GPU, expected one. Buy one."),
            }
        )
    with open_fakes({"one": fake_engine(config, "one", fault=at(1, nan))}) as separator:
        for _ in range(3):  # the same error each time, and no longer from time to time
            with fails(EngineError, "got none that can serve (one: one: sources: got 1 non-f"):
                separate(separator, noise(1, 8000))
        assert len(separator.rejected) == 1


def test_threads_that_fail_together_replace_once(fake_engine, config, noise):
    barrier = threading.Barrier(4)

    def together(call, answer):
        barrier.wait(timeout=30)
        raise RuntimeError("device lost")

    engines = {
        "first": fake_engine(config, "first", fault=together),
        "second": fake_engine(config, "second"),
        "third": fake_engine(config, "third"),
    }
    guarded = GuardedEngine(list(engines), engines.__getitem__, lambda e: None, "fallback")
    names = []

    def work():
        names.append(ask(guarded, noise(1, 1016))[0].engine.name)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    assert names == ["second"] * 4
    assert len(caught) == 1
    assert len(guarded.replacements) == 1
    assert guarded.active is engines["second"]


def test_a_warning_made_an_error_leaves_the_next_engine_in_service(
    open_fakes, fake_engine, config, noise
):
    engines = {
        "first": fake_engine(config, "first", fault=at(0, nan)),
        "second": fake_engine(config, "second"),
        "third": fake_engine(config, "third"),
    }
    with open_fakes(engines) as separator:
        with pytest.raises(ParityWarning):
            separate(separator, noise(1, 3000))
        assert separator.engine is engines["second"]
        assert separate(separator, noise(1, 3000)).engine == "second"


@pytest.mark.parametrize("parity", ["", "Raise", None])
def test_modes_that_there_are_not(open_fakes, parity):
    from sgn_rt.errors import ConfigError

    with pytest.raises(ConfigError, match="expected fallback, raise or off"):
        open_fakes({}, parity=parity)


def test_the_log_tells_what_was_passed_over_what_serves_and_what_was_computed_again(
    open_fakes, fake_engine, config, expected, caplog
):
    signal, _ = expected
    engines = {
        "absent": DependencyError("absent: got no package, expected one. Install it."),
        "wrong": fake_engine(config, "wrong", fault=scaled),
        "fails": fake_engine(config, "fails", fault=at(1, explode)),
        "last": fake_engine(config, "last"),
    }
    caplog.set_level("INFO", logger="sgn_rt")
    with pytest.warns(ParityWarning), open_fakes(engines) as separator:
        separate(separator, signal)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    words = [
        ("INFO", "engine absent passed over: absent: got no package"),
        ("WARNING", "engine wrong passed over: wrong: parity stage level"),
        ("INFO", "engine fails in service: for tests; opened in"),
        ("WARNING", "engine fails failed, its window is computed again: fails: got RuntimeError"),
        ("INFO", "engine last in service: for tests; opened in"),
    ]
    assert [level for level, _ in told] == [level for level, _ in words]
    for (_, message), (_, start) in zip(told, words, strict=True):
        assert message.startswith(start)
    assert all(record.name.startswith("sgn_rt.") for record in caplog.records)
