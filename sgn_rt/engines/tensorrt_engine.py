"""An engine on a GPU: windows in batches on lanes, what is heard of their sources back."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgn_rt._process import forks
from sgn_rt._types import Analysis, Answered, Float, Part, Positions, Windows
from sgn_rt.audio.resample import Resampler
from sgn_rt.engines.base import Engine
from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.stages import StageResult
from sgn_rt.tensorrt.bindings import version_text
from sgn_rt.tensorrt.plugins.polyphase import LARGEST_RATE, PolyphaseResampler
from sgn_rt.tensorrt.run.answers import AnswerPool
from sgn_rt.tensorrt.run.halves import Halves
from sgn_rt.tensorrt.run.lane import Lane, Outcome
from sgn_rt.tensorrt.run.options import RunOptions
from sgn_rt.tensorrt.run.pool import LanePool
from sgn_rt.tensorrt.run.resampling import Conversions
from sgn_rt.tensorrt.run.runtime import Call, Model
from sgn_rt.tensorrt.run.session import Session
from sgn_rt.tensorrt.run.states import STATE, Held, Slot, StatePool

_NONE = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class _State:
    """What sources of a window are made of: its state on the device, or else the network again."""

    mixture: Float
    held: Held | None
    row: int


@dataclass(slots=True)
class _Task:
    """A call of a lane.

    Attributes
    ----------
    windows
        For the network; None where states are there.
    places
        Slot and row of states; None for those that the network leaves.
    parts
        One a window.
    keep
        Where states are to be kept.
    presence, heard
        The answer: of each window the sources of one call after the other.
    """

    windows: Windows | None
    places: Sequence[tuple[Slot, int]] | None
    parts: Sequence[Part]
    keep: Held | None = None
    presence: Float | None = None
    heard: list[list[NDArray[Any]]] = field(default_factory=list)

    def answers(self) -> Iterator[Answered]:
        """Of the network's windows."""
        assert self.windows is not None
        assert self.presence is not None
        rows = zip(self.windows, self.presence, self.heard, strict=True)
        for row, (window, presence, heard) in enumerate(rows):
            yield Analysis(presence, _State(window, self.keep, row)), _joined(heard)


class TensorRTEngine(Engine):
    """An engine of the bundle on the GPU.

    More windows or categories than it takes at a time go through it in parts. States of windows of
    which more may be asked for stay on the device. A whole engine leaves none: there whatever is
    asked for late takes the network again.

    Parameters
    ----------
    name
        As it was chosen.
    bundle, model
        What it is of, and what runs it.
    options
        As chosen.
    """

    def __init__(
        self, name: str, bundle: Bundle, model: Model, options: RunOptions | None = None
    ) -> None:
        super().__init__(bundle.config)
        options = options or RunOptions()
        sidecar, device = model.network.sidecar, model.device
        self.name, self.precision, self.concurrency = name, sidecar.precision, options.lanes
        self.batch, self.sidecar = model.max_batch, sidecar
        version = version_text(sidecar.version)
        self.detail = f"{sidecar.name} on {device.name}, version {version}, {device.layer}"
        self._bundle, self._device, self._options = bundle, device, options
        self._model: Model | None = model
        self._most_sources = model.last.max_sources
        self._states: StatePool | None = None
        if model.synthesis is not None:
            row_bytes = {name: model.network.nbytes(name, Call(1, 0)) for name in STATE}
            self._states = StatePool(device, row_bytes, options.held_bytes)
        self._answers = answers = AnswerPool(device, options.answer_bytes)
        self._pool = LanePool(lambda: Lane(model, answers, options), options.lanes)
        self._conversions: Conversions | None = None
        if model.kernels is not None:
            self._conversions = Conversions(self.name, model.kernels, device)
        closing = (self._conversions, self._pool, self._states, answers)
        self._end = weakref.finalize(self, _end, closing, model, forks())

    def session(self, stream: object = None) -> Session:
        """For applications: device memory in and out, on their stream, one session per thread.

        Raises
        ------
        EngineError
            After `close`.
        """
        return Session(self._opened(), stream)

    def new_lane(self) -> Lane:
        """A lane of the caller's own, to be closed by it.

        Raises
        ------
        EngineError
            After `close`.
        """
        return Lane(self._opened(), self._answers, self._options)

    @property
    def apart(self) -> Halves | None:
        """The two engines of a pair, each alone.

        Raises
        ------
        EngineError
            After `close`.
        """
        model = self._opened()
        return None if model.synthesis is None else Halves(model)

    def close(self) -> None:
        """Free all of the device's memory that nobody reads; also done with the engine's end."""
        self._model = None
        self._end()

    def proved(self, results: Sequence[StageResult]) -> None:
        """Write down that it has passed its start-up probe, if that is not known yet."""
        self._opened().keep_kernels()
        if self.sidecar.proof is None and results:
            from sgn_rt.tensorrt.build.build_engines import record_proof

            record_proof(self._bundle, self.sidecar, results, self._device.name)

    def answer(
        self, windows: Windows, wanted: Positions | None, chosen: Positions, parts: Sequence[Part]
    ) -> list[Answered]:
        """As `Engine.answer`: network and synthesis without a wait between."""
        self._expect_own_process()
        for window in windows:
            self._expect_shape("mixture", window, (self.config.window_samples,))
        return self._told(self._answer, windows, wanted, chosen, parts)

    def hear(
        self, analyses: Sequence[Analysis], categories: Positions, parts: Sequence[Part]
    ) -> list[NDArray[Any]]:
        """As `Engine.hear`."""
        self._expect_own_process()
        return self._told(self._hear, analyses, categories, parts)

    def resampler(self, source_rate: int, target_rate: int) -> Resampler:
        """On the GPU, by the plugin library; by soxr where there is none, or not for these rates.

        Where the GPU fails or the engine is closed the same filters go on in NumPy.
        """
        if self._conversions is None or max(source_rate, target_rate) > LARGEST_RATE:
            return super().resampler(source_rate, target_rate)
        return PolyphaseResampler(source_rate, target_rate, self._conversions)

    def _analyze(self, mixture: Float, wanted: Positions | None) -> list[Analysis]:
        parts = [Part(0, 0)] * len(mixture)
        return [analysis for analysis, _ in self._answer(mixture, wanted, _NONE, parts)]

    def _synthesize(self, analysis: Analysis, categories: Positions) -> Float:
        whole = [Part(0, self.config.window_samples)]
        (sources,) = self._hear([analysis], categories, whole)
        return sources

    def _opened(self) -> Model:
        if self._model is None:
            raise EngineError("engine: got a call after close, expected none. Open it again.")
        return self._model

    def _answer(
        self, windows: Windows, wanted: Positions | None, chosen: Positions, parts: Sequence[Part]
    ) -> list[Answered]:
        more = wanted is None or not set(wanted.tolist()) <= set(chosen.tolist())
        with ExitStack() as uses:
            tasks = [
                _Task(windows[rows], None, parts[rows], self._room(rows, uses) if more else None)
                for rows in self._rows(len(windows))
            ]
            self._run(tasks, chosen)
        return [answered for task in tasks for answered in task.answers()]

    def _room(self, rows: slice, uses: ExitStack) -> Held | None:
        if self._states is None:
            return None
        with self._device.current():
            held = self._states.hold(rows.stop - rows.start)
        if held is not None:
            uses.enter_context(held.in_use())
        return held

    def _hear(
        self, analyses: Sequence[Analysis], categories: Positions, parts: Sequence[Part]
    ) -> list[NDArray[Any]]:
        if not len(categories):
            return [_nothing(part) for part in parts]
        states: list[_State] = [analysis.state for analysis in analyses]
        with ExitStack() as uses:
            places: dict[int, tuple[Slot, int]] = {}
            for index, state in enumerate(states):
                slot = None if state.held is None else uses.enter_context(state.held.in_use())
                if slot is not None:
                    places[index] = (slot, state.row)
            kept = list(places)
            tasks = []
            for rows in self._rows(len(kept)):
                these = kept[rows]
                tasks.append(_Task(None, [places[i] for i in these], [parts[i] for i in these]))
            self._run(tasks, categories)
        heard = {}
        for index, sources in zip(
            kept, (each for task in tasks for each in task.heard), strict=True
        ):
            heard[index] = _joined(sources)
        lost = [index for index in range(len(states)) if index not in places]
        if lost:
            mixtures = [states[index].mixture for index in lost]
            again = self._answer(mixtures, categories, categories, [parts[index] for index in lost])
            heard |= {index: sources for index, (_, sources) in zip(lost, again, strict=True)}
        return [heard[index] for index in range(len(states))]

    def _rows(self, count: int) -> Iterator[slice]:
        for start in range(0, count, self.batch):
            yield slice(start, min(count, start + self.batch))

    def _run(self, tasks: Sequence[_Task], categories: Positions) -> None:
        """Tasks one after the other, as many at a time as there are lanes for."""
        most = self._most_sources
        columns = [categories[i : i + most] for i in range(0, len(categories), most)] or [_NONE]
        if not tasks:
            return
        with self._pool.borrow(min(self._options.lanes, len(tasks))) as lanes:
            running: list[_Task | None] = [None] * len(lanes)
            for index, task in enumerate(tasks):
                turn = index % len(lanes)
                self._finish(lanes[turn], running[turn], columns)
                if task.windows is None:
                    lanes[turn].again(task.places, columns[0], task.parts)
                else:
                    lanes[turn].submit(task.windows, columns[0], task.parts, task.keep)
                running[turn] = task
            for lane, last in zip(lanes, running, strict=True):
                self._finish(lane, last, columns)

    def _finish(self, lane: Lane, task: _Task | None, columns: Sequence[Positions]) -> None:
        """Collect a task, and what does not fit into one call."""
        if task is None:
            return
        outcome = lane.collect()
        task.presence = outcome.presence
        if task.presence is not None:
            self._expect_finite("presence", task.presence, task.presence.shape)
        task.heard = [[] for _ in task.parts]
        self._add(task, outcome, columns[0])
        for more in columns[1:]:
            if self._states is None:
                assert task.windows is not None
                lane.submit(task.windows, more, task.parts)
            else:
                lane.again(None, more, task.parts)
            self._add(task, lane.collect(), more)

    def _add(self, task: _Task, outcome: Outcome, columns: Positions) -> None:
        if not outcome.finite.all():
            bad = np.flatnonzero(~outcome.finite).tolist()
            raise EngineError(
                f"{self.name}: sources: got non-finite numbers in windows {bad} of "
                f"{len(outcome.finite)}, expected none. The engine is wrong for this input: choose "
                "another one."
            )
        if not len(columns):
            outcome.heard.extend(_nothing(part) for part in task.parts)
        for rows, heard in zip(task.heard, outcome.heard, strict=True):
            rows.append(heard)


def _end(
    parts: Sequence[Conversions | LanePool | StatePool | AnswerPool | None],
    model: Model,
    born: int,
) -> None:
    if born != forks():
        return  # a child that ends: the GPU is the parent's, and so is who holds a lock here
    for part in parts:
        if part is not None:
            part.close()
    model.keep_kernels()


def _nothing(part: Part) -> NDArray[Any]:
    return np.empty((0, part.stop - part.start), np.float32)


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Sources of several calls in one array; those of one as they are."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
