"""Every n-th window computed once more, by another engine, beside the one in service.

The start-up probe sees an engine's first call. What goes wrong later and is still finite (another
shape's kernels, memory that someone else wrote to, a device that ages) shows only so.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable
from typing import Final

import numpy as np

from sgn_rt._types import Float, Positions
from sgn_rt.contract import Precision
from sgn_rt.engines.base import Engine, Separated
from sgn_rt.errors import (
    CheckpointError,
    ConfigError,
    DependencyError,
    EngineError,
    ParityError,
    ParityWarning,
)

WITNESSES: Final = ("onnxruntime", "torch")
"""Engines that are asked, the first that serves: those on the CPU."""
LEAST_DB: Final = {Precision.FP32: 70.0, Precision.FP16: 50.0}
"""Mixture over difference, for each source. Masks are between 0 and 1, so this holds for quiet
windows and absent sources, too: over the music that ships, at levels from 1 to 1e-6, the published
graphs show at least 97 dB in float32 and 69 dB in float16."""
PRESENCE: Final = 0.02
"""Largest difference of a presence; 5e-4 is what float16 shows there."""
SILENCE: Final = 1e-12
"""Mean square of a difference that is nobody's concern, 120 dB below full scale."""


class SpotCheck:
    """Compares every n-th window of an engine with a witness.

    A witness that fails is no failure of the engine: it ends the checks, with a warning.

    Parameters
    ----------
    every
        Windows from one that is checked to the next, counted over all threads.
    opener, prover
        As `sgn_rt.engines.guarded.GuardedEngine`'s: opens an engine by name, and proves it.

    Attributes
    ----------
    checked
        Windows so far.
    """

    def __init__(
        self,
        every: int,
        opener: Callable[[str], Engine],
        prover: Callable[[Engine], object],
    ) -> None:
        self._every, self._opener, self._prover = every, opener, prover
        self._lock = threading.Lock()
        self._seen = 0
        self._witness: Engine | None = None
        self.checked = 0

    def ready(self, engine: Engine) -> None:
        """Find the witness for an engine that is to serve.

        Raises
        ------
        ConfigError
            If no other engine can be one.
        """
        reasons = []
        for name in WITNESSES:
            if name == _kind(engine):
                continue
            try:
                witness = self._opener(name)
                self._prover(witness)
            except (DependencyError, EngineError, CheckpointError, ParityError) as error:
                reasons.append(str(error))
                continue
            self._witness = witness
            return
        raise ConfigError(
            f"check every: got {self._every} on {engine.name}, expected an engine beside it to "
            f"check with ({'; '.join(reasons) or 'none is left'}). Leave it out, or install one."
        )

    def __call__(
        self, engine: Engine, mixture: Float, categories: Positions, answer: Separated
    ) -> None:
        """Check what of an answer is due.

        Parameters
        ----------
        engine
            Gave the answer. One that is itself the witness, after it has taken over, is believed.
        mixture
            shape = (B, N), float32.
        categories
            shape = (S,), int64.
        answer
            As `Engine.separate`.

        Raises
        ------
        EngineError
            If a window is not what the witness makes of it.
        """
        witness = self._witness
        if witness is None or _kind(witness) == _kind(engine):
            return
        with self._lock:
            due = [row for row in range(len(mixture)) if (self._seen + row) % self._every == 0]
            self._seen += len(mixture)
            self.checked += len(due)
        for row in due:
            try:
                expected = witness.separate(mixture[row : row + 1], categories)
            except EngineError as error:
                self._witness = None
                warnings.warn(f"no more spot checks: {error}", ParityWarning, stacklevel=2)
                return
            got = Separated(answer.sources[row], answer.presence[row])
            _compare(engine, witness, mixture[row], got, expected)


def _kind(engine: Engine) -> str:
    return engine.name.partition(":")[0]


def _compare(
    engine: Engine, witness: Engine, mixture: Float, got: Separated, expected: Separated
) -> None:
    limit = LEAST_DB[engine.precision]
    difference = got.sources.astype(np.float64) - expected.sources[0]
    error = float(np.mean(np.square(difference), axis=-1).max(initial=0.0))
    level = float(np.mean(np.square(mixture, dtype=np.float64)))
    ratio = 10.0 * math.log10(max(level, SILENCE) / error) if error > SILENCE else math.inf
    presence = float(np.abs(got.presence - expected.presence[0]).max())
    if ratio >= limit and presence <= PRESENCE:
        return
    raise EngineError(
        f"{engine.name}: spot check: got a window {ratio:.1f} dB from what {witness.name} makes of "
        f"it, presence {presence:.3g} off, expected at least {limit:g} dB and at most {PRESENCE}. "
        "Choose another engine, and report this."
    )
