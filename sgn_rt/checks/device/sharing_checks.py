"""DLPack both ways with PyTorch and CuPy, on streams of theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sgn_rt._optional import require
from sgn_rt.checks.device.layer_checks import expect_equal
from sgn_rt.checks.device.world import Bench, DeviceWorld
from sgn_rt.errors import UnavailableError
from sgn_rt.tensorrt.device.dlpack import DeviceArray, give, take
from sgn_rt.tensorrt.device.protocol import Device, Event

SIZE: Final = 4 << 20
"""float32 numbers: enough for writing them to be under way when another stream would read them."""
TURNS: Final = 10
_LEGACY: Final = 1


@dataclass(frozen=True, slots=True)
class Library:
    """What is used of another library with arrays on the GPU.

    Attributes
    ----------
    name
        Of it.
    on_stream
        A new stream, current inside.
    filled
        A new float32 array of `SIZE` numbers, written on the current stream by work that takes
        long.
    from_dlpack, to_numpy
        Arrays from outside, on the current stream, and to the host.
    """

    name: str
    on_stream: Callable[[], AbstractContextManager[Any]]
    filled: Callable[[float], Any]
    from_dlpack: Callable[[Any], Any]
    to_numpy: Callable[[Any], Any]


def torch_library(torch: Any = None) -> Library:
    """PyTorch.

    Raises
    ------
    DependencyError, UnavailableError
        If it is not installed, or without CUDA.
    """
    torch = torch or require("torch", extra="export", purpose="DLPack with PyTorch")
    if not torch.cuda.is_available():
        raise UnavailableError(
            f"torch {torch.__version__}: got no CUDA, expected it. Install PyTorch for this GPU."
        )

    def filled(value: float) -> Any:
        array = torch.zeros(SIZE, dtype=torch.float32, device="cuda")
        for _ in range(50):
            array += 1.0
        return array.fill_(value)

    return Library(
        f"torch {torch.__version__}",
        lambda: torch.cuda.stream(torch.cuda.Stream()),
        filled,
        torch.from_dlpack,
        lambda array: array.cpu().numpy(),
    )


def cupy_library(cupy: Any = None) -> Library:
    """CuPy.

    Raises
    ------
    DependencyError
        If it is not installed.
    """
    cupy = cupy or require("cupy", extra="tensorrt", purpose="DLPack with CuPy")

    def filled(value: float) -> Any:
        array = cupy.zeros(SIZE, dtype=cupy.float32)
        for _ in range(50):
            array += 1.0
        array[...] = value
        return array

    return Library(
        f"cupy {cupy.__version__}",
        lambda: cupy.cuda.Stream(non_blocking=True),
        filled,
        cupy.from_dlpack,
        cupy.asnumpy,
    )


class _Ours:
    """Memory of ours as other libraries take it: their stream waits for what has been given."""

    def __init__(self, device: Device, array: DeviceArray, done: Event) -> None:
        self._device, self._array, self._done = device, array, done

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device.dlpack_device

    def __dlpack__(self, *, stream: int | None = None, **more: Any) -> Any:
        del more
        waiting = self._device.borrow(0 if stream in (None, _LEGACY) else stream)
        waiting.wait(self._done)
        return give(self._array)


def exchange(world: DeviceWorld, library: Library) -> Mapping[str, Any]:
    """Arrays of a library's stream into ours, and ours into its, over and over."""
    device = world.device
    with world.bench() as bench:
        for turn in range(TURNS):
            value = float(turn + 1)
            with library.on_stream():
                theirs = library.filled(value)
                # The consumer names its stream, and the producer has it wait.
                array = take(theirs, library.name, bench.stream.handle)
            got = bench.get(array.address, (SIZE,), np.float32)
            expect_equal(f"from {library.name}", got, np.full(SIZE, value, np.float32))
            del array, theirs
            _hand_over(device, bench, library, value)
    return {"library": library.name, "turns": TURNS}


def _hand_over(device: Device, bench: Bench, library: Library, value: float) -> None:
    sent = np.arange(SIZE, dtype=np.float32) * np.float32(value)
    staging, address = bench.pinned(sent.nbytes), bench.room(sent.nbytes)
    staging.array[: sent.nbytes] = sent.view(np.uint8)
    done = bench.event()
    device.upload(address, staging, sent.nbytes, bench.stream)
    done.record(bench.stream)
    memory = DeviceArray(address, sent.shape, "float32", device.dlpack_device)
    with library.on_stream():
        taken = library.from_dlpack(_Ours(device, memory, done))
        # On their stream, before it is copied: what is computed has to wait, too.
        doubled = taken + taken
        expect_equal(f"to {library.name}", library.to_numpy(doubled), sent + sent)


def check_torch(world: DeviceWorld) -> Mapping[str, Any]:
    """DLPack with PyTorch."""
    return exchange(world, torch_library())


def check_cupy(world: DeviceWorld) -> Mapping[str, Any]:
    """DLPack with CuPy."""
    return exchange(world, cupy_library())
