"""Every n-th window is computed by a second engine: right ones pass, wrong ones are replaced."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from sgn_rt import Separator
from sgn_rt._types import Part
from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import ConfigError, DependencyError, EngineError, ParityWarning
from sgn_rt.model.bundle import Bundle
from sgn_rt.parity.spot_check import SpotCheck

CATEGORIES = ["bell", "horn"]


def wrong_from(first: int, change):
    """A fault from window ``first`` on."""
    return lambda call, answer: change(answer) if call >= first else answer


def quieter(answer):
    return answer._replace(sources=answer.sources * np.float32(0.99))


def other_presence(answer):
    return answer._replace(presence=answer.presence + np.float32(0.05))


def almost_right(answer):
    return answer._replace(sources=answer.sources * np.float32(1 + 1e-5))


@pytest.fixture
def checker(fake_engine, config):
    """Makes a check on a right witness; says which engines it has opened."""

    def make(every: int, witness=None) -> SpotCheck:
        def opener(name):
            if name == "onnxruntime":
                return witness or fake_engine(config, name)
            raise DependencyError(f"{name}: got none, expected it. Install it.")

        return SpotCheck(every, opener, lambda engine: None)

    return make


def look(check, engine, mixture, categories=(0, 2)):
    positions = np.array(categories, np.int64)
    parts = [Part(0, mixture.shape[1])] * len(mixture)
    check(engine, mixture, positions, parts, engine.answer(mixture, positions, positions, parts))


@pytest.fixture
def windows(config, noise):
    return lambda count, level=1.0: (
        level * noise(count, config.window_samples, 4).astype(np.float32)
    )


@pytest.mark.parametrize(
    ("every", "batch", "checked"), [(1, 1, 12), (5, 1, 3), (5, 4, 3), (2, 3, 6)]
)
def test_as_many_as_are_due(checker, fake_engine, config, windows, every, batch, checked):
    engine = fake_engine(config, "first", fault=wrong_from(0, almost_right))
    check = checker(every)
    check.ready(engine)
    mixture = windows(12)
    for at in range(0, 12, batch):
        look(check, engine, mixture[at : at + batch])
    assert check.checked == checked


@pytest.mark.parametrize("change", [quieter, other_presence])
@pytest.mark.parametrize("level", [1.0, 1e-2])
def test_what_is_wrong_and_finite_is_seen(checker, fake_engine, config, windows, change, level):
    engine = fake_engine(config, "first", fault=wrong_from(3, change))
    check = checker(2)
    check.ready(engine)
    mixture = windows(1, level)
    for _ in range(4):  # the fourth is wrong, and not due
        look(check, engine, mixture)
    with pytest.raises(EngineError, match=r"first: spot check: got a window .* onnxruntime makes"):
        look(check, engine, mixture)


@pytest.mark.parametrize("categories", [(), (1,), (2, 0, 1)])
def test_silence_and_no_categories_hold(checker, fake_engine, config, categories):
    engine, check = fake_engine(config, "first"), checker(1)
    check.ready(engine)
    look(check, engine, np.zeros((2, config.window_samples), np.float32), categories)
    assert check.checked == 2


def test_sound_out_of_silence_is_seen(checker, fake_engine, config):
    def hums(answer):
        return answer._replace(sources=answer.sources + np.float32(0.01))

    engine, check = fake_engine(config, "first", fault=wrong_from(0, hums)), checker(1)
    check.ready(engine)
    with pytest.raises(EngineError, match="spot check"):
        look(check, engine, np.zeros((1, config.window_samples), np.float32))


def test_a_witness_that_fails_ends_the_checks_and_blames_nobody(
    checker, fake_engine, config, windows
):
    def explode(answer):
        raise RuntimeError("out of memory")

    witness = fake_engine(config, "onnxruntime", fault=wrong_from(0, explode))
    engine, check = fake_engine(config, "first"), checker(1, witness)
    check.ready(engine)
    with pytest.warns(ParityWarning, match="no more spot checks: .*out of memory"):
        look(check, engine, windows(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        look(check, engine, windows(1))


def test_an_engine_that_nothing_can_check_is_not_left_open(open_fakes, fake_engine, config):
    engine, closed = fake_engine(config, "onnxruntime"), []
    engine.close = lambda: closed.append(True)
    with pytest.raises(ConfigError, match="expected an engine beside it"):
        open_fakes({"onnxruntime": engine}, parity="off", check_every=2)
    assert closed == [True]


def test_without_a_second_engine_it_is_an_error(checker, fake_engine, config):
    with pytest.raises(ConfigError, match=r"got 7 on onnxruntime, expected an engine beside it"):
        checker(7).ready(fake_engine(config, "onnxruntime"))


@pytest.mark.parametrize("batch", [1, 3])
def test_a_recording_goes_on_with_the_next_engine(
    open_fakes, fake_engine, fake_separator, config, noise, batch
):
    """Sound from the wrong windows that were looked at on is the next engine's."""
    signal = noise(1, 12000)
    first = fake_engine(config, "first", fault=wrong_from(1, quieter), batch=batch)
    second = fake_engine(config, "onnxruntime")
    engines = {"first": first, "onnxruntime": second}
    with open_fakes(engines, check_every=1) as separator:
        with pytest.warns(ParityWarning, match="now onnxruntime, as first: spot check: "):
            result = separator.separate(signal, CATEGORIES, sample_rate=8000)
        assert separator.checked_windows > 0
    right = fake_separator().separator.separate(signal, CATEGORIES, sample_rate=8000)
    for name in CATEGORIES:
        np.testing.assert_array_equal(result.sources[name], right.sources[name])
    assert "first" not in result.windows
    assert len(result.replacements) == 1


def test_numbers_below_one_are_refused(open_fakes, fake_engine, config):
    with pytest.raises(ConfigError, match="check every: got 0"):
        open_fakes({"onnxruntime": fake_engine(config, "onnxruntime")}, check_every=0)


@pytest.mark.parametrize("sound", ["constant", "tone", "noise"])
def test_right_engines_are_not_blamed_for_windows_that_no_two_agree_on(sound):
    """Sound without noise is rounding at most frequencies; PyTorch and SciPy round apart."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    bundle = Bundle.open()
    samples = bundle.config.window_samples
    time = np.arange(samples) / bundle.config.sample_rate
    mixture = {
        "constant": np.full(samples, 0.5),
        "tone": 0.5 * np.sin(2 * np.pi * 440 * time),
        "noise": 0.1 * np.random.default_rng(0).standard_normal(samples),
    }[sound].astype(np.float32)[None]
    engine, everything = open_engine("torch", bundle), np.arange(len(bundle.config.categories))
    check = SpotCheck(1, lambda name: open_engine(name, bundle), lambda engine: None)
    check.ready(engine)
    parts = [Part(0, mixture.shape[1])]
    answers = engine.answer(mixture, everything, everything, parts)
    check(engine, mixture, everything, parts, answers)
    assert check.checked == 1
    wrong = [(analysis, sources[::-1]) for analysis, sources in answers]
    with pytest.raises(EngineError, match="torch: spot check: got a window"):
        check(engine, mixture, everything, parts, wrong)


ENDS = [Part(0, 1016), Part(64, 900, 0.1), Part(100, 700, 1.0, "int16")]
ENDS += [Part(0, 1016, 2.0, "dithered-int16"), Part(5, 1000, 1.0, "float16")]


@pytest.mark.parametrize("part", ENDS)
@pytest.mark.parametrize("level", [1.0, 1e-4])
def test_what_is_heard_is_checked_in_the_format_that_it_came_in(
    checker, fake_engine, config, windows, part, level
):
    engine, check, categories = fake_engine(config, "first"), checker(1), np.array([0, 2])
    check.ready(engine)
    mixture, dither = windows(1, level), np.random.default_rng(1)
    ((analysis, sources),) = engine.answer(mixture, categories, categories, [part])
    if part.format == "float16":
        sources = sources.astype(np.float16)
    elif part.format != "float32":
        noise = dither.uniform(-1, 1, sources.shape) + dither.uniform(-1, 1, sources.shape)
        steps = sources * 2.0**15 + (noise / 2 if part.format == "dithered-int16" else 0.0)
        sources = np.rint(steps).astype(np.int16)
    check(engine, mixture, categories, [part], [(analysis, sources)])
    assert check.checked == 1
    with pytest.raises(EngineError, match="first: spot check"):
        check(engine, mixture, categories, [part], [(analysis, sources[::-1])])


@pytest.mark.parametrize("form", ["int16", "dithered-int16"])
@pytest.mark.parametrize(("level", "gain"), [(20.0, 1.0), (1.0, 20.0)])
def test_int16_ends_at_full_scale_and_no_engine_is_blamed_for_it(
    checker, fake_engine, config, windows, form, level, gain
):
    engine, check, categories = fake_engine(config, "first"), checker(1), np.array([0, 2])
    check.ready(engine)
    mixture, part = windows(1, level), Part(0, 1016, gain, form)
    ((analysis, sources),) = engine.answer(mixture, categories, categories, [part])
    steps = np.rint(sources * 2.0**15)
    assert steps.max() > 40_000
    clipped = np.clip(steps, -(2**15), 2**15 - 1).astype(np.int16)
    check(engine, mixture, categories, [part], [(analysis, clipped)])
    assert check.checked == 1


def test_float16_ends_too(checker, fake_engine, config, windows):
    engine, check, categories = fake_engine(config, "first"), checker(1), np.array([0, 2])
    check.ready(engine)
    mixture, part = windows(1), Part(0, 1016, 1e6, "float16")
    ((analysis, sources),) = engine.answer(mixture, categories, categories, [part])
    assert sources.max() > 100_000
    clipped = np.clip(sources, -65504, 65504).astype(np.float16)
    check(engine, mixture, categories, [part], [(analysis, clipped)])
    assert check.checked == 1


def loud(fake_engine, config, name, wrong_beyond, error=0.01):
    """An engine that is right up to some magnitude."""

    class Loud(fake_engine):
        def _separate(self, mixture, categories):
            answer = super()._separate(mixture, categories)
            if np.abs(mixture).max() > wrong_beyond:
                answer = answer._replace(sources=answer.sources * np.float32(1 - error))
            return answer

    return Loud(config, name)


@pytest.mark.parametrize("level", [1e5, 100.0, 5.0])
def test_no_loud_file_has_a_right_engine_replaced(checker, fake_engine, config, windows, level):
    engine, check = loud(fake_engine, config, "first", 1.0), checker(1)
    check.ready(engine)
    for _ in range(3):
        look(check, engine, windows(1, level))
    assert check.checked == 3
    look(check, engine, windows(1))


@pytest.mark.parametrize("level", [1e5, 1.0])
def test_an_engine_that_is_wrong_at_full_scale_is_found_at_any_level(
    checker, fake_engine, config, windows, level
):
    engine, check = loud(fake_engine, config, "first", 0.1), checker(1)
    check.ready(engine)
    with pytest.raises(EngineError, match="first: spot check: got a window"):
        look(check, engine, windows(1, level))


def test_an_engine_that_fails_when_it_is_asked_again_is_the_one_that_failed(
    checker, fake_engine, config, windows
):
    def explode(answer):
        raise RuntimeError("device lost")

    engine = loud(fake_engine, config, "first", 1.0)
    engine._fault = wrong_from(1, explode)
    check = checker(1)
    check.ready(engine)
    with pytest.raises(EngineError, match="first: got RuntimeError: device lost"):
        look(check, engine, windows(1, 100.0))


def test_the_model_that_ships_against_the_reference(noise):
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    with Separator.open(engine="onnxruntime", check_every=2) as separator:
        result = separator.separate(noise(1, 200_000), ["tuba"], sample_rate=11025)
        assert separator.checked_windows == -(-sum(result.windows.values()) // 2)
        assert result.replacements == ()
