"""A device whose kernels are the host build's, in its streams' order, for the GPU's checks."""

from __future__ import annotations

from pathlib import Path

from sgn_rt.checks.device.transforms import CheckLibrary
from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.plugins.kernels import Kernels

from ..fakes import FakeDevice

AT_ONCE = ("plan", "work_bytes", "chunk", "close")


class Library(CheckLibrary):
    """Gives a fake device's stream what the host's kernels do, in its order."""

    def __init__(self, path: Path, device: FakeDevice) -> None:
        self.device = device
        super().__init__(path)

    def call(self, function, *arguments):
        if function in AT_ONCE:
            return super().call(function, *arguments)
        stream = self.device.streams[getattr(arguments[-1], "value", arguments[-1])]
        stream.give(self._work(function, arguments))
        return 0

    def _work(self, function, arguments):
        def run():
            if function == "trap":
                # The context is broken: whoever asks is told, again and again.
                self.device.streams[arguments[-1].value].queue.append(run)
                raise EngineError("kernel: got an illegal instruction, expected success. Report.")
            if function != "spin":
                super(Library, self).call(function, *arguments)

        return run


class OnStream(Kernels):
    def __init__(self, path, device):
        super().__init__(path)
        self.device = device

    def finish(self, *, stream, **arguments):
        work = super().finish
        self.device.streams[stream].give(lambda: work(stream=0, **arguments))

    def resample(self, *, stream, **arguments):
        work = super().resample
        self.device.streams[stream].give(lambda: work(stream=0, **arguments))


class FakeCuda:
    """Every work takes ten microseconds, a copy on the device what 100 GB/s take."""

    def __init__(self, device):
        self.device = device

    def seconds(self, stream, work, repeats):
        self.device.copied = 0
        work()
        stream.synchronize()
        return self.device.copied / 100e9 or 1e-5

    def attributes(self, names):
        return {"MemoryClockRate": 2_000_000, "GlobalMemoryBusWidth": 512}


class Device(FakeDevice):
    """Has no more memory than it says."""

    def allocate(self, size):
        if size > self.free_bytes():
            raise EngineError("cudaMalloc: got no memory, expected success. Ask for less.")
        return super().allocate(size)

    def copy(self, target, source, size, stream):
        self.copied = size
        super().copy(target, source, size, stream)
