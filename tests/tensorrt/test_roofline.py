"""Bytes of a window, counted: against the count in docs, and beside what a GPU moves."""

from __future__ import annotations

import pytest

from sgn_rt.model.bundle import Bundle
from sgn_rt.tensorrt import roofline
from sgn_rt.tensorrt.roofline import Limits, Load

STFT, ISTFT = ("framing", "forward FFT", "log magnitude"), ("masking", "inverse FFT", "overlap-add")


@pytest.fixture(scope="module")
def published():
    return Bundle.open(None).config


def test_bytes_are_those_counted_by_hand(published):
    """T = 256 frames of F = 512 bins: 1.049 MB; 65 280 samples: 0.261 MB; a mask: 0.131 MB."""
    load = Load(config=published, sources=11, heard=16320, sample_bytes=2)
    spectrum, samples, plane = 256 * 512 * 8, 65280 * 4, 256 * 256 * 2
    assert roofline.kernel_bytes(load) == {
        "framing": samples + spectrum,
        "forward FFT": 2 * spectrum,
        "log magnitude": spectrum + plane,
        "masking": spectrum + 11 * (plane + spectrum),
        "inverse FFT": 11 * 2 * spectrum,
        "overlap-add": 11 * (spectrum + samples),
        "finish": 11 * (samples + 16320 * 2),
    }
    assert roofline.link_bytes(load) == {
        "to the device": samples, "from the device": 11 * 16320 * 2 + 11 * 4,
    }  # fmt: skip
    moved = roofline.kernel_bytes(load)
    # As the review of the kernels has them.
    assert sum(moved[name] for name in STFT) / 1e6 == pytest.approx(4.7, abs=0.15)
    assert sum(moved[name] for name in ISTFT) / 1e6 == pytest.approx(51.5, abs=0.1)


def test_windows_of_a_call_add_up(published):
    one, eight = (Load(config=published, batch=b, sources=3, heard=100) for b in (1, 8))
    assert sum(roofline.kernel_bytes(eight).values()) == 8 * sum(
        roofline.kernel_bytes(one).values()
    )
    full = Load(config=published, sources=3, heard=100, half=False)
    larger = roofline.kernel_bytes(full)
    assert larger["masking"] - roofline.kernel_bytes(one)["masking"] == 3 * 256 * 256 * 2


def test_a_measured_time_is_held_against_the_limit(published):
    load = Load(config=published, sources=1, heard=100)
    limits = Limits(copied=1e12, data_sheet=2e12, up=5e10, down=25e9)
    size = roofline.kernel_bytes(load)["framing"]
    rows = {row["kernel"]: row for row in roofline.rows(load, limits, {"framing": 4 * size / 1e12})}
    assert rows["framing"]["least_us"] == pytest.approx(size / 1e6)
    assert rows["framing"]["of_limit"] == pytest.approx(0.25)
    assert "us" not in rows["masking"]
    assert rows["to the device"]["least_us"] == pytest.approx(65280 * 4 / 5e4)
    most = roofline.windows_per_second(load, limits)
    assert most["memory"] == pytest.approx(1e12 / sum(roofline.kernel_bytes(load).values()))
    assert most["link"] == pytest.approx(5e10 / (65280 * 4))


def test_without_a_gpu_there_are_bytes_alone(published):
    load = Load(config=published, sources=1, heard=100)
    rows = roofline.rows(load, Limits())
    assert all(set(row) == {"kernel", "MB"} for row in rows)
    assert roofline.windows_per_second(load, Limits()) == {}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"MemoryClockRate": 2_619_000, "GlobalMemoryBusWidth": 5120}, 2 * 2.619e9 * 640),
        ({"MemoryClockRate": 0, "GlobalMemoryBusWidth": 5120}, None),
        ({}, None),
    ],
)
def test_the_data_sheets_bandwidth_is_clock_times_bus(attributes, expected):
    assert roofline.memory_bandwidth(attributes) == (expected and pytest.approx(expected))
