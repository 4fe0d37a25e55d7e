"""Checks of TensorRT's engines, for tests and for ``sgn-rt doctor``. Not yet run on a GPU."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from sgn_rt._types import Float, Positions, Separated
from sgn_rt._types import Part as Whole
from sgn_rt.checks.check import Check, Group, Part
from sgn_rt.checks.tensorrt.plugin_parity import compare_probe
from sgn_rt.checks.tensorrt.world import World, open_rtx, open_tensorrt
from sgn_rt.errors import EngineError, ParityError, UnavailableError
from sgn_rt.model.contract import ENGINE_KINDS, FLOATS, Precision
from sgn_rt.model.export_command import export_command
from sgn_rt.parity.measure import measure
from sgn_rt.tensorrt.device.dlpack import DeviceArray
from sgn_rt.tensorrt.plugins.library import plugin_library
from sgn_rt.tensorrt.run.lane import Lane

SAME: Final = 1e-5
"""Largest difference of full scale between two runs of an engine on the same window: kernels whose
sums run in another order. Far below what parity allows, and far above zero for wrong addresses."""
GROWTH_BYTES: Final = 8 << 20
"""Memory that may come to be held while thousands of windows run: allocators' own granularity."""
IN_A_ROW: Final = 5
"""Equal calls after each other: the second is captured as a graph, those after it replay it."""


def _same(what: str, got: Separated, expected: Separated) -> float:
    difference = float(np.abs(got.sources - expected.sources).max(initial=0.0))
    difference = max(difference, float(np.abs(got.presence - expected.presence).max()))
    if not difference <= SAME:
        raise EngineError(
            f"{what}: got a difference of {difference:.3g} of full scale, expected at most "
            f"{SAME:g}. "
            "Please report this."
        )
    return difference


def _parity(world: World, precision: Precision) -> dict[str, Any]:
    engine = world.engine(precision)
    results = measure(engine, world.bundle.probe)
    failed = "; ".join(str(result) for result in results if not result.passed)
    if failed:
        raise ParityError(
            f"{engine.detail}: got {failed}, expected every stage to hold. Please report this."
        )
    stages = {str(result.stage): result.to_dict()["figure"] for result in results}
    return {"engine": engine.detail, "figure": engine.sidecar.figure.to_dict(), **stages}


def check_parity_fp32(world: World) -> Mapping[str, Any]:
    """Every stage of parity in float32."""
    return _parity(world, Precision.FP32)


def check_parity_fp16(world: World) -> Mapping[str, Any]:
    """Every stage of parity in float16."""
    return _parity(world, Precision.FP16)


def check_parity_int8(world: World) -> Mapping[str, Any]:
    """Every stage of parity in int8, where the bundle has a graph of it."""
    graphs = [a for a in world.bundle.artifacts if a.precision == Precision.INT8]
    if not any(artifact.kind in ENGINE_KINDS for artifact in graphs):
        raise UnavailableError(
            f"int8: got a bundle without a graph for {world.trt}, expected one. Export it: "
            f"`{export_command(world.bundle)} --precision int8`, and name BUNDLE."
        )
    return _parity(world, Precision.INT8)


def _lane_run(lane: Lane, mixture: Float, categories: Positions) -> Separated:
    lane.submit(mixture, categories, [Whole(0, mixture.shape[1])] * len(mixture))
    outcome = lane.collect()
    assert outcome.presence is not None
    return Separated(np.stack(outcome.heard), outcome.presence)


def check_graphs(world: World) -> Mapping[str, Any]:
    """CUDA graphs give what plain execution gives, also after other shapes have run between."""
    engine = world.best
    lane = engine.new_lane()
    try:
        worst = 0.0
        shapes = [(1, 1), (2, 1), (1, 2), (min(4, engine.batch), 1)]
        plain: dict[tuple[int, int], Separated] = {}
        captured = 0
        for turn in range(4):
            for batch, count in shapes:
                mixture = world.windows(batch, seed=batch)
                # One may still run in the shape before, and so by other kernels; then one is plain,
                # one is captured, and one is launched once more.
                _lane_run(lane, mixture, np.arange(count))
                for _ in range(3):
                    answer = _lane_run(lane, mixture, np.arange(count))
                    plain.setdefault((batch, count), answer)
                    worst = max(worst, _same(f"turn {turn}", answer, plain[batch, count]))
                captured += lane.has_graph
        if lane.graph_failure is not None:
            raise EngineError(
                f"CUDA graph: got {lane.graph_failure}, expected a capture. Please report this."
            )
        return {"shapes": len(shapes), "captured": captured, "largest_difference": worst}
    finally:
        lane.close()


def check_parts(world: World) -> Mapping[str, Any]:
    """A batch in parts over two contexts gives what its windows give one by one."""
    engine = world.best
    mixture, categories = world.windows(2 * engine.batch + 1), np.array([0])
    together = engine.separate(mixture, categories)
    worst = 0.0
    for row in range(len(mixture)):
        alone = engine.separate(mixture[row : row + 1], categories)
        part = Separated(together.sources[row : row + 1], together.presence[row : row + 1])
        # Another batch size may take other kernels: as near as parity wants, not as rerunning is.
        difference = float(np.abs(part.sources - alone.sources).max())
        worst = max(worst, difference)
    if not worst <= 1e-2:
        raise EngineError(
            f"parts: got a difference of {worst:.3g} of full scale, expected at most 0.01. "
            "Please report this."
        )
    return {"windows": len(mixture), "largest_difference": worst}


def check_threads(world: World) -> Mapping[str, Any]:
    """Two threads at once get what one gets alone."""
    engine, categories = world.best, np.array([0])
    windows = [world.windows(1, seed) for seed in range(8)]
    alone = [engine.separate(window, categories) for window in windows]

    def work(start: int) -> float:
        worst = 0.0
        for turn in range(100):
            index = (start + turn) % len(windows)
            answer = engine.separate(windows[index], categories)
            worst = max(worst, _same(f"thread {start}", answer, alone[index]))
        return worst

    with ThreadPoolExecutor(2) as pool:
        return {"largest_difference": max(pool.map(work, range(2)))}


def check_session(world: World) -> Mapping[str, Any]:
    """Device pointers in and out give what arrays of the host give."""
    engine, device = world.best, world.device
    mixture, categories = world.windows(1, seed=3), [0]
    session = engine.session()
    try:
        with device.current():
            memory, staging = (
                device.allocate(mixture.nbytes),
                device.allocate_pinned(mixture.nbytes),
            )
            staging.array[: mixture.nbytes].view(np.float32)[:] = mixture[0]
            device.upload(memory.address, staging, mixture.nbytes, session.stream)
        given = DeviceArray(memory.address, mixture.shape, "float32", device.dlpack_device)
        result = session.run(given, categories)
        with device.current():
            size = 4 * int(np.prod(result.sources.shape))
            back = device.allocate_pinned(size)
            device.download(back, result.sources.address, size, session.stream)
            session.stream.synchronize()
        sources = back.array[:size].view(np.float32).reshape(result.sources.shape).copy()
        expected = engine.separate(mixture, np.array(categories))
        worst = _same("session", Separated(sources, expected.presence), expected)
        with device.current():
            for owned in (memory, staging, back):
                owned.close()
        return {"largest_difference": worst}
    finally:
        session.close()


def check_growth(world: World) -> Mapping[str, Any]:
    """Thousands of windows, shapes changing, graphs replayed: no more memory held than at first."""
    engine, device = world.best, world.device
    windows = world.windows(2)
    shapes = [(windows[:1], np.arange(1)), (windows, np.arange(1)), (windows[:1], np.arange(2))]
    # Of each shape several in a row: the second is captured, what comes after it is replayed.
    calls = [shape for shape in shapes for _ in range(IN_A_ROW)]
    for turn in range(2 * len(calls)):
        engine.separate(*calls[turn % len(calls)])
    with device.current():
        free = device.free_bytes()
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    replayed, done, enough = world.graphs.launches, 0, world.budget.left / 4
    start = time.perf_counter()
    while done < world.soak_windows and world.budget.left > enough:
        engine.separate(*calls[done % len(calls)])
        done += 1
    seconds = time.perf_counter() - start
    replayed = world.graphs.launches - replayed
    with device.current():
        grown = free - device.free_bytes()
    grown_host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - held
    for what, size in (("device", grown), ("host", grown_host)):
        if size > GROWTH_BYTES:
            raise EngineError(
                f"{what} memory: got {size} bytes more after {done} calls, expected "
                f"at most {GROWTH_BYTES}. Please report this."
            )
    if device.can_capture and replayed < done // 2:
        raise EngineError(
            f"CUDA graphs: got {replayed} replayed in {done} calls, expected at least half of "
            "them: equal calls follow each other. Please report this."
        )
    return {
        "calls": done,
        "graphs_replayed": replayed,
        "device_bytes": grown,
        "host_bytes": grown_host,
        "ms_per_call": 1e3 * seconds / max(done, 1),
    }


def check_plugins(world: World) -> Mapping[str, Any]:
    """Both plugins, alone, against SciPy's transform and torch.stft, in both precisions."""
    library = plugin_library().path
    config, window = world.bundle.config, world.windows(1, seed=5)
    return {
        f"{name}_{precision}": value
        for precision in FLOATS
        for name, value in compare_probe(
            world.trt, world.device, config, precision, library, window
        ).items()
    }


CHECKS: Final = (
    Check(name="parity-fp32", run=check_parity_fp32, limit_s=180.0),
    Check(name="parity-fp16", run=check_parity_fp16, limit_s=180.0),
    Check(name="parity-int8", run=check_parity_int8, limit_s=180.0),
    Check(name="plugins", run=check_plugins, limit_s=120.0),
    # Each of these may be the first to need the engine, which is built then.
    Check(name="graphs", run=check_graphs, limit_s=120.0),
    Check(name="parts", run=check_parts, limit_s=120.0),
    Check(name="threads", run=check_threads, limit_s=120.0),
    Check(name="session", run=check_session, limit_s=120.0),
    Check(name="growth", run=check_growth, limit_s=120.0),
)
GROUPS: Final = (
    Group(part=Part.TENSORRT, name="tensorrt", open=open_tensorrt, checks=CHECKS),
    Group(part=Part.TENSORRT, name="tensorrt-rtx", open=open_rtx, checks=CHECKS),
)
