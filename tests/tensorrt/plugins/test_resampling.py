"""Spans that go to a device and back: a fake one, with the kernel that is compiled for the host."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.plugins.kernels import Kernels
from sgn_rt.tensorrt.plugins.polyphase import PolyphaseResampler
from sgn_rt.tensorrt.run.resampling import DeviceLauncher

from ..fakes import FakeDevice
from .harness import HostLauncher


class Deferred:
    """Kernels that run when their stream comes by."""

    def __init__(self, kernels: Kernels, device: FakeDevice) -> None:
        self.kernels, self.device, self.load = kernels, device, kernels.load

    def resample(self, *, stream: int, **arguments) -> None:
        work = self.device.streams[stream]
        work.give(lambda: self.kernels.resample(**arguments, stream=0))


@pytest.fixture
def kernels(host, host_library):
    return Kernels(host_library)


@pytest.fixture
def launch(kernels, device):
    launcher = DeviceLauncher(Deferred(kernels, device), device)
    yield launcher
    launcher.close()
    gc.collect()
    assert not any(device.live.values()), "something was left on the device"


def test_the_device_gives_the_host_s_samples(launch, kernels, device):
    """Rates and sizes of all kinds, one after another; tables are brought there once."""
    rng = np.random.default_rng(0)
    for source, target, count in ((44100, 11025, 300), (11025, 44099, 500), (44100, 11025, 40),
                                  (44100, 11025, 900)):  # fmt: skip
        there = PolyphaseResampler(source, target, launch)
        here = PolyphaseResampler(source, target, HostLauncher(kernels))
        low, high = there.source_span(77, 77 + count)
        signal = rng.standard_normal((2, high - low)).astype(np.float32)
        got = there(signal, 77, 77 + count)
        np.testing.assert_array_equal(got, here(signal, 77, 77 + count))
    assert device.live["memory"] == 4  # two filters; spans and what is made of them


@pytest.mark.parametrize("call", ["allocate", "allocate pinned"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_device_without_memory_is_an_error_and_then_forgotten(launch, device, call, number):
    resample = PolyphaseResampler(8000, 11025, launch)
    low, high = resample.source_span(0, 64)
    signal = np.ones((1, high - low), np.float32)
    device.fail[call] = number
    with pytest.raises(EngineError, match=f"{call}: got a failure"):
        resample(signal, 0, 64)
    assert resample(signal, 0, 64).shape == (1, 64)
