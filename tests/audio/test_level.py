"""What is measured as a recording's level, and the gain that follows from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgn_rt.audio.level import (
    LEAST_WINDOWS,
    PARTS,
    SILENCE_DBFS,
    LevelMeasure,
    RunningLevel,
    gain_db,
    measure_level,
)
from sgn_rt.errors import AudioError

WINDOW = 640
RANGE = (-52.0, -10.0)


def noise(dbfs, windows=8.0, channels=1, seed=0):
    samples = np.random.default_rng(seed).standard_normal((channels, round(windows * WINDOW)))
    return (10 ** (dbfs / 20) * samples).astype(np.float32)


def level(*parts):
    return measure_level([np.concatenate(parts, axis=1)], WINDOW).dbfs


def in_blocks(signal, sizes):
    at = 0
    for size in sizes:
        yield signal[:, at : at + size]
        at += size
    yield signal[:, at:]


def test_it_is_the_rms_of_a_window():
    square = np.where(np.arange(10 * WINDOW) % 2, 0.1, -0.1)[None].astype(np.float32)
    assert level(square) == pytest.approx(-20.0, abs=1e-5)
    measured = measure_level([noise(-30, windows=200)], 20 * WINDOW).dbfs
    assert measured == pytest.approx(-30, abs=0.3)  # a little is lost with the loudest parts


def test_a_constant_offset_is_no_sound():
    assert level(noise(-60) + np.float32(0.25)) == pytest.approx(level(noise(-60)), abs=0.01)
    assert level(np.full((1, 5 * WINDOW), 0.5, np.float32)) is None


@given(st.integers(-40, 30))
def test_scaling_scales_the_level(change):
    plain = noise(-40)
    assert level(plain * np.float32(10 ** (change / 20))) == pytest.approx(
        level(plain) + change, abs=1e-3
    )


@given(st.lists(st.sampled_from("smq"), min_size=1, max_size=12), st.randoms())
def test_silence_and_pauses_do_not_decide_nor_does_their_place(kinds, random):
    """Whole windows of music, digital silence, and a hiss 44 dB below, in any order."""
    parts = {"s": noise(-np.inf, 1), "m": noise(-40, 1), "q": noise(-84, 1, seed=1)}
    kinds.append("m")
    shuffled = random.sample(kinds, len(kinds))
    measured = level(*(parts[kind] for kind in kinds))
    assert measured == pytest.approx(level(parts["m"]), abs=1e-6)
    assert level(*(parts[kind] for kind in shuffled)) == pytest.approx(measured, abs=1e-9)


@pytest.mark.parametrize("windows", [0.4, 1, 2.7, 40])
def test_a_loud_click_does_not_decide(windows):
    music = noise(-62, windows)
    clicked = music.copy()
    clicked[0, music.shape[1] // 2] = 1.0
    assert level(clicked) == pytest.approx(level(music), abs=1.0)


def test_a_click_in_the_tail_does_not_decide():
    music = noise(-62, 5.02)
    clicked = music.copy()
    clicked[0, -3] = 1.0
    assert level(clicked) == pytest.approx(level(music), abs=1.0)


def test_a_short_passage_among_long_quiet_decides():
    """A minute of music in hours of a hiss: it is the music that the gain is for."""
    assert level(noise(-85, 300), noise(-30, 5)) == pytest.approx(-30, abs=1.0)


def test_silent_channels_count_as_pauses_do():
    music = noise(-45)
    surround = np.concatenate([music, np.zeros((5, music.shape[1]), np.float32)])
    assert level(surround) == pytest.approx(level(music), abs=1e-9)
    assert measure_level([surround], WINDOW).windows == measure_level([music], WINDOW).windows


def test_channels_in_opposite_phase_are_heard():
    music = noise(-45)
    assert level(np.concatenate([music, -music])) == pytest.approx(level(music), abs=1e-9)


@given(st.lists(st.integers(0, 700), max_size=20))
def test_blocks_do_not_matter(sizes):
    signal = noise(-35, 4.3, channels=2)
    whole = measure_level([signal], WINDOW)
    assert measure_level(in_blocks(signal, sizes), WINDOW) == whole


@pytest.mark.parametrize("samples", [0, 1, 2, WINDOW // PARTS - 1, WINDOW - 1, WINDOW, WINDOW + 1])
def test_any_length(samples):
    measured = measure_level([noise(-30, 2)[:, :samples]], WINDOW).dbfs
    assert (measured is None) == (samples < 2)
    assert samples < WINDOW - 1 or measured == pytest.approx(-30, abs=1.5)


def test_no_block_at_all_is_silence():
    assert measure_level([], WINDOW) == LevelMeasure(dbfs=None, windows=0)


@pytest.mark.parametrize("dbfs", [-np.inf, SILENCE_DBFS - 6])
def test_silence_has_no_level_and_no_gain(dbfs):
    measure = measure_level([noise(dbfs)], WINDOW)
    assert measure == LevelMeasure(dbfs=None, windows=0)
    assert gain_db(measure, RANGE) == 0.0


def test_what_is_not_finite_is_left_to_who_reads_it_next():
    music = noise(-40)
    broken = music.copy()
    broken[0, 5:9] = np.nan, np.inf, -np.inf, 3e38
    assert level(broken) == pytest.approx(level(music), abs=1.0)


def test_memory_is_constant():
    from sgn_rt.audio.level import _Histogram, _WindowMeter

    meter, counts = _WindowMeter(WINDOW), _Histogram()

    def held():
        arrays = [*meter._parts, meter._rest, counts._counts, counts._powers]
        return sum(array.nbytes for array in arrays)

    sizes = []
    for _ in range(3):
        for _ in range(100):
            for powers in meter.feed(noise(-30, 1.001, channels=2)):
                counts.add(powers)
        sizes.append(held())
    assert max(sizes) <= sizes[0] + 2 * 8 * WINDOW


def test_no_window(fails):
    with fails(AudioError, "window"):
        measure_level([], 0)


@pytest.mark.parametrize("dbfs", [-52.0, -31.0, -10.0])
def test_no_gain_within_the_range(dbfs):
    assert gain_db(LevelMeasure(dbfs=dbfs, windows=1), RANGE) == 0.0


def test_no_gain_for_a_model_that_claims_nothing():
    assert gain_db(LevelMeasure(dbfs=-80.0, windows=1), None) == 0.0


@given(st.floats(-85, 20))
def test_the_gain_brings_it_within_and_then_there_is_none(dbfs):
    signal = noise(dbfs)
    gain = gain_db(measure_level([signal], WINDOW), RANGE)
    after = measure_level([signal * np.float32(10 ** (gain / 20))], WINDOW)
    assert RANGE[0] <= after.dbfs <= RANGE[1]
    assert gain_db(after, RANGE) == 0.0
    assert gain == 0.0 or after.dbfs == pytest.approx(-31.0, abs=1e-3)


def watch(running, signal, size=100):
    return [
        message
        for at in range(0, signal.shape[1], size)
        if (message := running.update(signal[:, at : at + size])) is not None
    ]


def test_a_stream_within_the_range_says_nothing():
    assert watch(RunningLevel(RANGE, WINDOW), noise(-30, 30, channels=2)) == []


def test_a_stream_that_leaves_the_range_says_so_once():
    running = RunningLevel(RANGE, WINDOW)
    signal = np.concatenate(
        [noise(-30, 20), noise(-70, 60), noise(-30, 20), noise(-70, 60)], axis=1
    )
    (message,) = watch(running, signal)
    assert "got -7" in message
    assert "expected -52 to -10 dBFS" in message
    assert message.endswith(("Set gain_db to 39.", "Set gain_db to 40."))


def test_a_stream_that_is_too_loud():
    (message,) = watch(RunningLevel(RANGE, WINDOW), noise(0, 10))
    assert "Set gain_db to -3" in message


def test_the_callers_gain_counts():
    assert watch(RunningLevel(RANGE, WINDOW, gain_db=40.0), noise(-70, 30)) == []
    (message,) = watch(RunningLevel(RANGE, WINDOW, gain_db=10.0), noise(-70, 30))
    assert "got -60" in message or "got -59" in message
    assert "Set gain_db to 39." in message or "Set gain_db to 40." in message


def test_pauses_and_clicks_of_a_stream_say_nothing():
    click = np.zeros((1, WINDOW), np.float32)
    click[0, 7] = 1.0
    quiet = [noise(-np.inf, 30), click, noise(-np.inf, 30), noise(-40, 20), noise(-100, 90)]
    assert watch(RunningLevel(RANGE, WINDOW), np.concatenate(quiet, axis=1)) == []


def test_too_little_of_a_stream_says_nothing():
    assert watch(RunningLevel(RANGE, WINDOW), noise(-70, LEAST_WINDOWS - 0.5)) == []


def test_a_model_without_a_claim_says_nothing_of_a_stream():
    assert watch(RunningLevel(None, WINDOW), noise(-80, 40)) == []
