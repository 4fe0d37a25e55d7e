"""What a window costs the host beside a GPU: no clock here, but nothing is copied or allocated."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from sgn_rt.benchmarks.studies import host_cost
from sgn_rt.benchmarks.studies.idle import IdleDevice
from sgn_rt.model.bundle import Bundle


@pytest.fixture
def bundle():
    return Bundle.open(None)


@pytest.mark.parametrize("sample_format", ["float32", "int16"])
def test_answers_are_read_where_the_gpu_put_them(bundle, sample_format):
    device = IdleDevice()
    engine = host_cost.idle_engine(bundle, device)
    subject = host_cost.Subject(engine, bundle.config, sample_format)
    for _ in range(3):
        subject.round()
    asked, least = len(device.pinned), 2 * bundle.config.window_samples
    tracemalloc.start()
    heard = subject.round()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(device.pinned) == asked  # the memory of earlier rounds serves again
    assert most < least  # half a source of one window, of 88 that came
    assert {row.dtype.name for window in heard for row in window.sources.values()} == {
        sample_format
    }


def test_where_it_is_copied_that_shows(bundle):
    subject = host_cost.Subject(host_cost.CopyingEngine(bundle.config), bundle.config)
    subject.round()
    tracemalloc.start()
    heard = subject.round()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most > sum(row.nbytes for window in heard for row in window.sources.values())


def test_both_ways_are_timed(bundle):
    medians = host_cost.measure(bundle, rounds=1)
    assert list(medians) == ["copied", "float32", "int16"]
    assert all(np.isfinite(each) for each in medians.values())
