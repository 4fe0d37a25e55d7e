"""An engine put in service: opened, proved by the bundle's probe, guarded, and spot-checked."""

from __future__ import annotations

import time

from sgn_rt.audio.limits import is_whole
from sgn_rt.engines.base import Engine
from sgn_rt.engines.devices import Devices, checked_devices
from sgn_rt.engines.factory import (
    ENGINES,
    candidates,
    expect_gpu_engine,
    open_engine,
    open_on,
    runs_on_gpu,
)
from sgn_rt.engines.guarded import GuardedEngine, ParityMode
from sgn_rt.engines.several import SeveralEngines
from sgn_rt.errors import ConfigError, EngineError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.stages import StageResult
from sgn_rt.parity.measure import require
from sgn_rt.parity.spot_check import SpotCheck
from sgn_rt.tensorrt.run.options import RunOptions


class Service:
    """The engine in service, and what was measured of those that have been.

    Parameters
    ----------
    bundle
        The model.
    engine
        ``auto`` for the best that runs here, or one of `ENGINES`.
    parity
        What to do with an engine that fails.
    threads
        Processors to use; None for all that the process may use.
    check_every
        Windows from one that is computed once more to the next; None for none.
    opened
        An engine of that name that is open, in the place of all others; its owner closes it.
    gpu
        How TensorRT uses the GPU; None for what is well chosen.
    device
        Numbers of the GPUs that it is to run on; None for what is current in this thread.

    Attributes
    ----------
    engine
        In service.
    load_s, warm_up_s
        What opening and proving took, seconds.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: str,
        parity: ParityMode,
        threads: int | None,
        check_every: int | None,
        opened: Engine | None = None,
        gpu: RunOptions | None = None,
        device: Devices = None,
    ) -> None:
        if parity not in ("fallback", "raise", "off"):
            raise ConfigError(
                f"parity: got {parity!r}, expected fallback, raise or off. Choose one of them."
            )
        _expect_count("threads", threads, "all")
        _expect_count("check every", check_every, "no checks")
        start = time.perf_counter()
        if engine != "auto":
            expect_gpu_engine(engine, device)
        devices = checked_devices(device)
        self._bundle = bundle
        self._proved: dict[str, list[StageResult]] = {}
        self.warm_up_s = 0.0
        asked_for = None if engine == "auto" else engine

        def opener(name: str) -> Engine:
            if opened is not None:
                return opened
            if devices is None or not runs_on_gpu(name):
                return open_engine(name, bundle, threads, gpu=gpu)
            return open_on(name, bundle, threads, devices, gpu=gpu, replaces=parity == "fallback")

        check = None if check_every is None else SpotCheck(check_every, opener, self._prove)
        self._is_lent = opened is not None
        self.engine = GuardedEngine(
            [engine] if opened else list(candidates(ENGINES, bundle, asked_for)),
            opener,
            self._prove,
            parity,
            asked_for,
            check,
        )
        if devices is not None and not runs_on_gpu(self.engine.active.name):
            self.engine.close()
            reasons = "; ".join(f"{r.engine}: {r.reason}" for r in self.engine.rejected)
            raise EngineError(
                f"device: got {device!r:.60}, and no engine of a GPU that can serve ({reasons}), "
                "expected one. Leave the device out for the CPU, or run `sgn-rt doctor`."
            )
        self._check = check
        if check is not None:
            try:
                check.ready(self.engine.active)
            except BaseException:
                self.close()
                raise
        self.load_s = time.perf_counter() - start - self.warm_up_s

    def close(self) -> None:
        """Free what the engine in service holds, unless it is lent, and the one that checks it."""
        if not self._is_lent:
            self.engine.close()
        if self._check is not None:
            self._check.close()

    def _prove(self, candidate: Engine) -> None:
        if isinstance(candidate, SeveralEngines):
            candidate.prove(self._prove)
            return
        began = time.perf_counter()
        try:
            self._proved[candidate.name] = require(candidate, self._bundle.probe)
            candidate.proved(self._proved[candidate.name])
        finally:
            self.warm_up_s += time.perf_counter() - began

    @property
    def proved(self) -> list[StageResult]:
        """What the start-up probe measured of the engine in service; empty without a probe."""
        return self._proved.get(self.engine.active.name, [])

    @property
    def checked_windows(self) -> int:
        """Windows that were computed once more and compared."""
        return 0 if self._check is None else self._check.checked


def _expect_count(what: str, value: int | None, otherwise: str) -> None:
    if value is not None and (not is_whole(value) or value < 1):
        raise ConfigError(
            f"{what}: got {value!r:.40}, expected a whole number of at least 1. "
            f"Leave it out for {otherwise}."
        )
