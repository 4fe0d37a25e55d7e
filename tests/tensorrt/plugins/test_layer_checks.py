"""The GPU's report, part (a), device layer and DLPack: right ones hold, wrong ones are seen.

The device works when a stream is waited for, and no sooner.
"""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest

from sgn_rt.checks.device import layer_checks, sharing_checks
from sgn_rt.errors import EngineError, UnavailableError

from .. import fakes
from .checked_device import Library


@pytest.fixture
def world(checked_world):
    return checked_world


@pytest.fixture
def device(checked_world):
    return checked_world.device


LAYER = {
    "copies": layer_checks.check_copies,
    "streams": layer_checks.check_streams,
    "graphs": layer_checks.check_graphs,
    "refusals": layer_checks.check_refusals,
    "late errors": layer_checks.check_late_errors,
}


@pytest.mark.parametrize("check", LAYER.values(), ids=LAYER)
def test_the_layer_holds_and_nothing_is_left(world, device, check):
    assert check(world)
    assert not any(device.live.values())


def test_a_copy_that_loses_a_byte_is_seen(world, device, monkeypatch):
    right = device.download
    monkeypatch.setattr(
        device, "download", lambda to, at, size, stream: right(to, at, size - 1, stream)
    )
    with pytest.raises(EngineError, match="copy of 1 bytes: got 1 of 1 wrong"):
        layer_checks.check_copies(world)


def test_memory_that_is_not_given_back_is_seen(world, device, monkeypatch):
    left = iter(range(1 << 40, 0, -(64 << 20)))
    monkeypatch.setattr(device, "free_bytes", lambda: next(left))
    monkeypatch.setattr(layer_checks, "SIZES", ())
    with pytest.raises(EngineError, match=r"device memory: got .* bytes less after 20 allocations"):
        layer_checks.check_copies(world)


def test_a_stream_that_does_not_wait_is_seen(world, monkeypatch):
    monkeypatch.setattr(fakes._Stream, "wait", lambda self, event: None)
    with pytest.raises(EngineError, match=r"turn 0: got .* wrong, expected what was sent"):
        layer_checks.check_streams(world)


def test_a_capture_that_runs_at_once_is_seen(world, device, monkeypatch):
    def capture(stream, work):
        work()
        return fakes._Graph(device, [])

    monkeypatch.setattr(device, "capture", capture)
    with pytest.raises(EngineError, match=r"a capture that broke: got .* wrong"):
        layer_checks.check_graphs(world)
    device.can_capture = False
    with pytest.raises(UnavailableError, match="got no graphs"):
        layer_checks.check_graphs(world)


def test_a_late_error_that_nobody_hears_of_is_seen(world, monkeypatch):
    monkeypatch.setattr(Library, "trap", lambda self, stream: None)
    with pytest.raises(EngineError, match="event behind a kernel that failed: got no error"):
        layer_checks.check_late_errors(world)


def test_memory_beyond_what_there_is_is_refused(world, device, monkeypatch):
    monkeypatch.setattr(device, "allocate", lambda size: fakes._Memory(device, 1))
    with pytest.raises(EngineError, match="got memory, expected an error"):
        layer_checks.check_refusals(world)


@pytest.fixture
def library(device, monkeypatch):
    """Arrays of NumPy in the place of another library's on the GPU."""
    monkeypatch.setattr(sharing_checks, "SIZE", 1000)

    def from_dlpack(producer):
        array = np.from_dlpack(producer)
        device.borrow(0).synchronize()  # NumPy waits for nobody
        return array

    return sharing_checks.Library(
        "numpy", nullcontext, lambda value: np.full(1000, value, np.float32), from_dlpack,
        np.asarray,
    )  # fmt: skip


def test_arrays_go_both_ways(world, device, library, monkeypatch):
    monkeypatch.setattr(device, "foreign", Anything())
    assert sharing_checks.exchange(world, library) == {"library": "numpy", "turns": 10}
    assert not device.live["memory"] + device.live["event"]


class Anything:
    def __contains__(self, address):
        return True


@pytest.mark.parametrize("way", ["from", "to"])
def test_arrays_that_arrive_wrong_are_seen(world, device, library, monkeypatch, way):
    monkeypatch.setattr(device, "foreign", Anything())
    if way == "from":
        wrong = dataclasses.replace(library, filled=lambda value: np.zeros(1000, np.float32))
    else:  # a consumer for whom nobody waits
        monkeypatch.setattr(fakes._Stream, "wait", lambda self, event: None)
        wrong = library
    refused = pytest.raises(EngineError, match=f"{way} numpy: got .* wrong, expected what was sent")
    with refused, np.errstate(over="ignore"):
        sharing_checks.exchange(world, wrong)


def test_pytorch_without_cuda_is_not_the_gpus_failure(fails):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with fails(UnavailableError, "got no CUDA, expected it"):
        sharing_checks.torch_library()


@pytest.mark.parametrize("name", ["torch", "cupy"])
def test_streams_of_other_libraries_are_used_as_they_have_them(monkeypatch, name):
    """Each call by its own name: neither is here with a GPU."""
    log = []

    class Module:
        __version__ = "1.0"
        float32 = "float32"

        def __getattr__(self, attribute):
            log.append(attribute)
            return self if attribute == "cuda" else lambda *a, **k: FakeArray()

        def is_available(self):
            return True

    class FakeArray(nullcontext):
        def __iadd__(self, other):
            return self

        def __setitem__(self, place, value):
            log.append(value)

        def fill_(self, value):
            log.append(value)
            return self

    made = getattr(sharing_checks, f"{name}_library")(Module())
    assert made.name == f"{name} 1.0"
    with made.on_stream():
        assert made.filled(3.0) is not None
    assert {"Stream", "zeros", 3.0} <= set(log)
