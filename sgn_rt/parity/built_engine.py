"""Parity of a TensorRT engine that has just been built, on the GPU that is here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sgn_rt.engines.tensorrt import engine_of
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.stages import StageResult
from sgn_rt.parity.measure import measure
from sgn_rt.tensorrt.bindings import TensorRT
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.engine_files import Half


def prove_content(
    bundle: Bundle, trt: TensorRT, device: Device
) -> Callable[[Sequence[Half]], list[StageResult]]:
    """A function that runs an engine just built on the GPU here, and measures its parity."""

    def prove(halves: Sequence[Half]) -> list[StageResult]:
        engine = engine_of(bundle, str(trt.flavor), halves, trt, device)
        try:
            return measure(engine, bundle.probe)
        finally:
            engine.close()

    return prove
