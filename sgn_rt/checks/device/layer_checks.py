"""The device layer itself: memory, copies, streams, events, graphs, and errors that come late."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt.checks.device.world import DeviceWorld
from sgn_rt.errors import EngineError, UnavailableError

SIZES: Final = (1, 3, 255, 4096, 1_000_003, 64 << 20)
LEAK_BYTES: Final = 4 << 20
"""What the driver itself may come to hold meanwhile."""
TURNS: Final = 20
STREAM_BYTES: Final = 32 << 20
"""Enough for a copy to be under way when another stream would read what it writes."""


def pattern(size: int, seed: int) -> NDArray[np.uint8]:
    """Bytes, other ones for every seed."""
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def expect_equal(what: str, got: NDArray[Any], expected: NDArray[Any]) -> None:
    """EngineError unless two arrays are the same to the bit."""
    wrong = int(np.count_nonzero(got != expected)) if got.shape == expected.shape else -1
    if wrong:
        raise EngineError(
            f"{what}: got {'another shape' if wrong < 0 else f'{wrong} of {got.size} wrong'}, "
            "expected what was sent. Please report this."
        )


def check_copies(world: DeviceWorld) -> Mapping[str, Any]:
    """Sizes odd and large, there and back; memory that is freed is free again."""
    with world.bench() as bench:
        for seed, size in enumerate(SIZES):
            sent = pattern(size, seed)
            address = bench.put(sent)
            if address % 256:
                raise EngineError(
                    f"allocation of {size} bytes: got the address {address:#x}, expected a "
                    "multiple of 256. Please report this."
                )
            expect_equal(f"copy of {size} bytes", bench.get(address, (size,), np.uint8), sent)
    with world.device.current():
        before = world.device.free_bytes()
    for _ in range(TURNS):
        with world.bench() as bench:
            bench.room(64 << 20)
            bench.pinned(1 << 20)
    with world.device.current():
        lost = before - world.device.free_bytes()
    if lost > LEAK_BYTES:
        raise EngineError(
            f"device memory: got {lost} bytes less after {TURNS} allocations that were freed, "
            f"expected at most {LEAK_BYTES}. Please report this."
        )
    return {"sizes": list(SIZES), "lost_bytes": lost}


def check_streams(world: DeviceWorld) -> Mapping[str, Any]:
    """A stream that waits for another's event finds what that one has done, and not before."""
    device, size = world.device, STREAM_BYTES
    with world.bench() as first, world.bench() as second:
        event = first.event()
        address, staging, back = first.room(size), first.pinned(size), second.pinned(size)
        for turn in range(TURNS):
            sent = pattern(size, turn)
            staging.array[:size] = sent
            device.upload(address, staging, size, first.stream)
            event.record(first.stream)
            second.stream.wait(event)
            device.download(back, address, size, second.stream)
            second.stream.synchronize()
            expect_equal(f"turn {turn}", back.array[:size], sent)
    return {"turns": TURNS, "bytes": size}


def check_graphs(world: DeviceWorld) -> Mapping[str, Any]:
    """Copies as a graph: replayed with what lies in pinned memory then; a capture that breaks."""
    device, size = world.device, 1 << 20
    if not device.can_capture:
        raise UnavailableError(f"{device.layer}: got no graphs, expected cuda-python. Use that.")
    with world.bench() as bench:
        address, there, back = bench.room(size), bench.pinned(size), bench.pinned(size)

        def work() -> None:
            device.upload(address, there, size, bench.stream)
            device.download(back, address, size, bench.stream)

        def breaks() -> None:
            work()
            raise ZeroDivisionError

        back.array[:size] = 0
        with suppress(ZeroDivisionError):
            device.capture(bench.stream, breaks)
        bench.stream.synchronize()
        expect_equal("a capture that broke", back.array[:size], np.zeros(size, np.uint8))
        graph = device.capture(bench.stream, work)
        try:
            bench.stream.synchronize()
            expect_equal("a capture", back.array[:size], np.zeros(size, np.uint8))
            for turn in range(TURNS):
                there.array[:size] = sent = pattern(size, turn)
                graph.launch(bench.stream)
                bench.stream.synchronize()
                expect_equal(f"replay {turn}", back.array[:size], sent)
        finally:
            graph.close()
    return {"replays": TURNS}


def check_refusals(world: DeviceWorld) -> Mapping[str, Any]:
    """What cannot be is an error at once, and leaves nothing behind for the next call."""
    with world.bench() as bench:
        too_much = world.device.free_bytes() + (1 << 40)
        try:
            bench.room(too_much)
        except EngineError as error:
            reason = str(error)
        else:
            raise EngineError(
                f"allocation of {too_much} bytes: got memory, expected an error. Report this."
            )
        sent = pattern(4096, 0)
        expect_equal("after an error", bench.get(bench.put(sent), (4096,), np.uint8), sent)
    return {"too_much": reason.partition("expected")[0]}


def check_late_errors(world: DeviceWorld) -> Mapping[str, Any]:
    """A kernel that fails after its launch: whoever waits for it is told, and so is all after it.

    The context is of no use any more then, nor is the process.
    """
    with world.bench() as bench:
        event = bench.event()
        world.library.spin(10_000_000, bench.stream.handle)
        world.library.trap(bench.stream.handle)
        event.record(bench.stream)
        reasons = {}
        for name, wait in (("event", event.synchronize), ("stream", bench.stream.synchronize)):
            try:
                wait()
            except EngineError as error:
                reasons[name] = str(error).partition("expected")[0]
            else:
                raise EngineError(
                    f"{name} behind a kernel that failed: got no error, expected one. "
                    "Please report this."
                )
    return reasons
