"""The layer on PyCUDA, against a module with its names: the application's context is taken over."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.device import factory, pycuda
from sgn_rt.tensorrt.device.pycuda import PyCuda, application_uses_pycuda


class Driver:
    """`pycuda.driver`; contexts are a stack per thread, as CUDA has them."""

    class Error(Exception):
        pass

    def __init__(self):
        self._here = threading.local()
        self.fail = None
        outer = self

        class Context:
            @staticmethod
            def get_current():
                stack = outer.stack
                return stack[-1] if stack else None

            @staticmethod
            def pop():
                outer.stack.pop()

            def push(self):
                outer.stack.append(self)

            @staticmethod
            def get_device():
                return outer.Device(1)

        class Device:
            def __init__(self, number):
                self.number = number

            count = staticmethod(lambda: 2)

            def __eq__(self, other):
                return self.number == other.number

            __hash__ = None

            def name(self):
                return "Card"

            def compute_capability(self):
                return (12, 0)

        class Stream:
            handle = 42

            def __init__(self, flags=0):
                self.flags, self.log = flags, []

            def synchronize(self):
                outer.check("synchronize")

            def wait_for_event(self, event):
                self.log.append(event)

        class Event:
            def __init__(self, flags):
                self.flags, self.recorded = flags, None

            def record(self, stream):
                self.recorded = stream

            def synchronize(self):
                pass

        self.Context, self.Device, self.Stream, self.Event = Context, Device, Stream, Event
        self.host_alloc_flags = SimpleNamespace(PORTABLE=1)
        self.event_flags = SimpleNamespace(DISABLE_TIMING=2, BLOCKING_SYNC=1)
        self.freed = 0

    @property
    def stack(self):
        if not hasattr(self._here, "stack"):
            self._here.stack = []
        return self._here.stack

    def check(self, name):
        if self.fail == name:
            raise self.Error(f"{name} failed")

    def mem_alloc(self, size):
        self.check("mem_alloc")
        self.block = np.zeros(size, np.uint8)

        class Allocation:
            __int__ = lambda _: self.block.ctypes.data  # noqa: E731
            free = lambda _: setattr(self, "freed", self.freed + 1)  # noqa: E731

        return Allocation()

    def pagelocked_empty(self, shape, dtype, mem_flags):
        return np.zeros(shape, dtype)

    def memcpy_htod_async(self, target, source, stream):
        self.check("memcpy_htod_async")
        self.block[: source.size] = source

    def memcpy_dtoh_async(self, target, source, stream):
        target[:] = self.block[: target.size]

    def memcpy_dtod_async(self, target, source, size, stream):
        self.copied = (target, source, size, stream)

    def mem_get_info(self):
        return (3, 4)


@pytest.fixture
def driver(monkeypatch):
    made = Driver()
    package = SimpleNamespace(VERSION_TEXT="2025.1")
    modules = {"pycuda.driver": made, "pycuda": package}
    monkeypatch.setattr(pycuda, "require", lambda name, **more: modules[name])
    monkeypatch.setitem(sys.modules, "pycuda.driver", made)
    made.Context().push()
    return made


def test_the_applications_context_is_used(driver):
    device = PyCuda()
    assert (device.name, device.capability, device.layer) == ("Card", "sm120", "PyCUDA 2025.1")
    assert device.dlpack_device == (2, 1)
    assert not device.can_capture
    assert isinstance(factory.open_device(), PyCuda)


def test_another_gpu_than_that_of_the_context_is_refused(driver):
    assert isinstance(factory.open_device(1), PyCuda)
    with pytest.raises(EngineError, match="got number 0, expected 1, which PyCUDA's context is on"):
        factory.open_device(0)


def test_other_threads_get_it_pushed_and_popped(driver):
    device = PyCuda()
    seen = []

    def work():
        with device.current():
            seen.append(driver.Context.get_current())
        seen.append(driver.Context.get_current())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [driver.stack[0], None]
    with device.current():
        assert len(driver.stack) == 1


def test_a_copy_on_the_device_is_in_the_order_of_its_stream(driver):
    device = PyCuda()
    stream = device.stream()
    device.copy(7, 5, 3, stream)
    assert driver.copied == (7, 5, 3, stream.raw)


@pytest.mark.parametrize(("spin", "flags"), [(False, 2 | 1), (True, 2)])
def test_who_waits_for_an_event_sleeps_unless_told_to_spin(driver, spin, flags):
    assert PyCuda().event(spin=spin).raw.flags == flags


def test_without_a_context_it_says_what_to_do(driver):
    driver.stack.clear()
    assert not application_uses_pycuda()
    with pytest.raises(EngineError, match="got no current context in this thread"):
        PyCuda()


def test_without_pycuda_nothing_is_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "pycuda.driver", raising=False)
    assert not application_uses_pycuda()
    assert "pycuda" not in sys.modules


def test_there_and_back(driver):
    device = PyCuda()
    stream = device.stream()
    assert stream.raw.flags == 1
    memory, source = device.allocate(8), device.allocate_pinned(8)
    target = device.allocate_pinned(8)
    source.array[:] = range(8)
    device.upload(memory.address, source, 8, stream)
    device.download(target, memory.address, 4, stream)
    np.testing.assert_array_equal(target.array, [0, 1, 2, 3, 0, 0, 0, 0])
    event = device.event()
    event.record(stream)
    assert event.raw.recorded is stream.raw
    stream.wait(event)
    stream.synchronize()
    assert device.free_bytes() == 3
    for owned in (memory, memory, source, target, event, stream):
        owned.close()
    assert driver.freed == 1


@pytest.mark.parametrize("call", ["mem_alloc", "memcpy_htod_async", "synchronize"])
def test_its_errors_become_ours(driver, call):
    device = PyCuda()
    driver.fail = call
    with pytest.raises(EngineError, match=f"{call} failed"):
        device.upload(
            device.allocate(1).address, device.allocate_pinned(1), 1, stream := device.stream()
        )
        stream.synchronize()


def test_streams_of_the_application(driver):
    device = PyCuda()
    own = driver.Stream()
    assert device.borrow(own).raw is own
    with pytest.raises(EngineError, match=r"got a int for a stream, expected a pycuda\.driver"):
        device.borrow(7)


def test_no_graphs(driver):
    device = PyCuda()
    with pytest.raises(EngineError, match="it has no graphs"):
        device.capture(device.stream(), int)
