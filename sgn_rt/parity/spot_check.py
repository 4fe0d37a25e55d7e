"""Every n-th window computed once more, by another engine, beside the one in service.

The start-up probe sees an engine's first call. What goes wrong later and is still finite (another
shape's kernels, memory that someone else wrote to, a device that ages) shows only so.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from sgn_rt._types import Answered, Float, Part, Positions, Separated, Windows, to_float32
from sgn_rt.engines.base import Engine
from sgn_rt.errors import (
    CheckpointError,
    ConfigError,
    DependencyError,
    EngineError,
    ParityError,
    ParityWarning,
)
from sgn_rt.model.contract import Precision

WITNESSES: Final = ("onnxruntime", "torch")
"""Engines that are asked, the first that serves: those on the CPU."""
LEAST_DB: Final = {Precision.FP32: 70.0, Precision.FP16: 50.0, Precision.INT8: 22.0}
"""Mixture over difference, for each source. Masks are between 0 and 1, so this holds for quiet
windows and absent sources, too: over the music that ships, at levels from 1 to 1e-6, the published
graphs show at least 97 dB in float32, 69 dB in float16 and 37 dB in int8."""
PRESENCE: Final = {Precision.FP32: 0.02, Precision.FP16: 0.02, Precision.INT8: 0.12}
"""Largest difference of a presence; 5e-4 is what float16 shows there, and 0.023 int8."""
ROUNDING_DB: Final = -120.0
"""Noise, relative to the mixture, as float32 transforms make it. Sound without noise of its own (a
constant, a pure tone) is all but silent at most frequencies, where the logarithm makes this much of
it: then two right engines may differ by as much as the witness does from itself."""
MARGIN_DB: Final = 15.0
"""What an engine may differ beyond that; a constant shows 8 dB in float16."""
FULL_SCALE: Final = 1.0
"""Beyond it two right engines may differ by more than any limit: half precision ends somewhere, and
nothing was trained there. An engine that differs on such a window is asked for it at full scale,
and blamed for that alone: else whoever sends one loud file has replaced it for everybody."""
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

    def close(self) -> None:
        """Free what the witness holds, and check no more."""
        witness, self._witness = self._witness, None
        if witness is not None:
            witness.close()

    def __call__(
        self,
        engine: Engine,
        windows: Windows,
        categories: Positions,
        parts: Sequence[Part],
        answers: Sequence[Answered],
    ) -> None:
        """Check what of an answer is due.

        Parameters
        ----------
        engine
            Gave the answer. One that is itself the witness, after it has taken over, is believed.
        windows
            shape = (B, N), float32.
        categories
            shape = (S,), int64.
        parts, answers
            As `Engine.answer`.

        Raises
        ------
        EngineError
            If a window is not what the witness makes of it.
        """
        witness = self._witness
        if witness is None or _kind(witness) == _kind(engine):
            return
        with self._lock:
            due = [row for row in range(len(windows)) if (self._seen + row) % self._every == 0]
            self._seen += len(windows)
        for row in due:
            analysis, sources = answers[row]
            part = parts[row]
            got = Separated(to_float32(sources) / np.float32(part.gain), analysis.presence)
            try:
                verdict = _compare(engine, witness, windows[row], categories, part, got)
            except EngineError as error:
                self._witness = None
                warnings.warn(f"no more spot checks: {error}", ParityWarning, stacklevel=2)
                return
            with self._lock:
                self.checked += 1
            if verdict is not None:
                raise EngineError(verdict)


def _kind(engine: Engine) -> str:
    return engine.name.partition(":")[0]


def _compare(
    engine: Engine,
    witness: Engine,
    mixture: Float,
    categories: Positions,
    part: Part,
    got: Separated,
) -> str | None:
    """What is wrong with an answer, its gain taken off again; None if nothing is."""
    exact = part._replace(gain=1.0, format="float32")
    expected = _within(part, _answer(witness, mixture, categories, exact))
    noise = _rounding(part, expected)
    ratio, presence = _difference(mixture, got, expected, noise)
    least, most = LEAST_DB[engine.precision], PRESENCE[engine.precision]
    if ratio >= least and presence <= most:
        return None
    # Before an engine is blamed: is it the window, which no two would agree on?
    rng = np.random.default_rng(0)
    dust = rng.standard_normal(len(mixture), np.float32)
    dust *= np.float32(10 ** (ROUNDING_DB / 20)) * np.sqrt(np.mean(np.square(mixture)))
    shaken = _within(part, _answer(witness, mixture + dust, categories, exact))
    own_ratio, own_presence = _difference(mixture, shaken, expected)
    least, most = min(least, own_ratio - MARGIN_DB), max(most, 2.0 * own_presence)
    if ratio >= least and presence <= most:
        return None
    peak = float(np.abs(mixture).max())
    if peak > FULL_SCALE:
        quieter = mixture / np.float32(peak)
        try:
            got = _answer(engine, quieter, categories, exact)
        except EngineError as error:  # not the witness's
            return str(error)
        return _compare(engine, witness, quieter, categories, exact, got)
    return (
        f"{engine.name}: spot check: got a window {ratio:.1f} dB from what {witness.name} makes of "
        f"it, presence {presence:.3g} off, expected at least {least:.3g} dB and at most "
        f"{most:.3g}. Choose another engine, and report this."
    )


def _answer(engine: Engine, mixture: Float, categories: Positions, part: Part) -> Separated:
    ((analysis, sources),) = engine.answer([mixture], categories, categories, [part])
    return Separated(sources, analysis.presence)


def _within(part: Part, answer: Separated) -> Separated:
    """An answer without gain, as far as the format that samples came in goes."""
    if part.format == "float32":
        return answer
    most = float(np.finfo(np.float16).max)
    ends = (-most, most) if part.format == "float16" else (-1.0, 1.0 - 2.0**-15)
    lowest, highest = (end / part.gain for end in ends)
    return answer._replace(sources=np.clip(answer.sources, lowest, highest, dtype=np.float32))


def _rounding(part: Part, expected: Separated) -> float:
    """Mean square of what the format that samples came in has rounded away."""
    if part.format == "float32":
        return 0.0
    if part.format == "float16":
        level = float(np.square(expected.sources, dtype=np.float64).mean(axis=-1).max(initial=0.0))
        return level * 2.0**-22 / 3.0
    # A twelfth of a squared step; triangular dither adds twice that.
    step = 2.0**-15 / part.gain
    return step * step * (3.0 if part.format == "dithered-int16" else 1.0) / 12.0


def _difference(
    mixture: Float, one: Separated, other: Separated, noise: float = 0.0
) -> tuple[float, float]:
    """Mixture over the difference of the sources, dB, and difference of presence; the largest.

    Of the difference twice the mean square that is ``noise`` is nobody's.
    """
    square = np.square(one.sources.astype(np.float64) - other.sources)
    error = float(square.mean(axis=-1).max(initial=0.0)) - 2.0 * noise
    level = float(np.mean(np.square(mixture, dtype=np.float64)))
    ratio = 10.0 * math.log10(max(level, SILENCE) / error) if error > SILENCE else math.inf
    return ratio, float(np.abs(one.presence - other.presence).max())
