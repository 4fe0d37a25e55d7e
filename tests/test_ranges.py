"""Ranges for a profiler: pushed and popped where ``nvtx`` is there, nothing where it is not."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from sgn_rt._ranges import Range, ranged


@pytest.fixture(autouse=True)
def _anew():
    ranged.cache_clear()
    yield
    ranged.cache_clear()


@pytest.fixture
def log(monkeypatch):
    seen = []
    domain = SimpleNamespace(
        get_event_attributes=lambda message: message,
        push_range=seen.append,
        pop_range=lambda: seen.append("pop"),
    )
    get_domain = lambda name: seen.append(name) or domain  # noqa: E731
    monkeypatch.setitem(sys.modules, "nvtx", SimpleNamespace(get_domain=get_domain))
    return seen


def test_ranges_nest_and_end_where_something_fails(log):
    with pytest.raises(ValueError, match="inside"), ranged(Range.WINDOW), ranged(Range.NETWORK):
        raise ValueError("inside")
    assert log == ["sgn-rt", "window", "sgn-rt", "network", "pop", "pop"]
    log.clear()
    with ranged(Range.WINDOW), ranged(Range.WINDOW):
        pass
    assert log == ["window", "window", "pop", "pop"]


def test_without_the_package_there_is_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "nvtx", None)
    with ranged(Range.COPIES), ranged(Range.COPIES):
        assert ranged(Range.COPIES) is ranged(Range.COPIES)


def test_the_package_has_the_names_in_use():
    nvtx = pytest.importorskip("nvtx")
    domain = nvtx.get_domain("sgn-rt test")
    assert all(
        hasattr(domain, name) for name in ("get_event_attributes", "push_range", "pop_range")
    )
    with ranged(Range.SYNTHESIS), ranged(Range.COPIES):
        pass
