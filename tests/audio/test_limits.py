"""Rates, channels, and limits of a service."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.audio.limits import (
    BLOCK_BYTES,
    Limits,
    checked_channels,
    checked_rate,
    frames_per_block,
    is_real,
)
from sgn_rt.errors import AudioError, ConfigError

NO_NUMBERS = ["44100", None, True, 1j, [1], 10**400, float("nan"), float("inf"), np.zeros(2)]


def test_numbers_of_any_type_are_taken():
    for rate in (44100, 44100.0, np.int16(8000), np.float32(8000)):
        assert checked_rate(rate) == rate
        assert type(checked_rate(rate)) is int
    for channels in (1, 1024, np.int64(2)):
        assert type(checked_channels(channels)) is int


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, 999, 768_001, 8000.5, -44100], ids=repr)
def test_what_is_no_rate(fails, value):
    with fails(AudioError, "sample rate: got", "whole number from 1000 to 768000"):
        checked_rate(value)


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, -1, 1025, 2.0], ids=repr)
def test_what_is_no_number_of_channels(fails, value):
    with fails(AudioError, "channels: got", "1 to 1024"):
        checked_channels(value)


@pytest.mark.parametrize("value", [*NO_NUMBERS[:1], *NO_NUMBERS[2:], 0, -5.0], ids=repr)
def test_what_is_no_limit(fails, value):
    with fails(ConfigError, "most seconds: got"):
        Limits(seconds=value)


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, -1, 1025, 2.5], ids=repr)
def test_what_is_no_limit_of_channels(fails, value):
    with fails(ConfigError, "most channels: got"):
        Limits(channels=value)


def test_limits_are_kept_to_the_sample(fails):
    limits = Limits(seconds=2.5, channels=2)
    limits.check("a", rate=8000, channels=2, samples=20_000)
    with fails(AudioError, "a: got 2.50013 s or more, expected at most 2.5 s"):
        limits.check("a", rate=8000, channels=2, samples=20_001)
    with fails(AudioError, "a: got 3 channels, expected 1 to 2"):
        limits.check("a", rate=8000, channels=3)
    with fails(AudioError, "a: sample rate: got 0 Hz"):
        limits.check("a", rate=0, channels=1)
    Limits().check("a", rate=768_000, channels=1024, samples=2**62)


def test_blocks_of_many_channels_are_short():
    assert frames_per_block(1000, 2) == 1000
    assert frames_per_block(10**9, 1) * 4 == BLOCK_BYTES
    assert frames_per_block(10**9, 1024) * 4 * 1024 == BLOCK_BYTES
    assert frames_per_block(1, 10**9) == 1


def test_real_numbers():
    assert is_real(1)
    assert is_real(np.float32(0.5))
    assert not any(is_real(value) for value in NO_NUMBERS)
