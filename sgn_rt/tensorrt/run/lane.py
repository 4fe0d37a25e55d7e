"""A lane: contexts, stream, device memory and pinned staging, for one thread at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgn_rt._ranges import Range, ranged
from sgn_rt._types import Float, Part, Positions, Windows
from sgn_rt.errors import EngineError
from sgn_rt.model.contract import Tensor
from sgn_rt.tensorrt.device.protocol import Event, Pinned
from sgn_rt.tensorrt.plugins.kernels import WINDOW, SampleFormat
from sgn_rt.tensorrt.run.answers import AnswerPool
from sgn_rt.tensorrt.run.buffers import Buffers
from sgn_rt.tensorrt.run.finish import cut_here, form_of, from_windows, longest, write_windows
from sgn_rt.tensorrt.run.graphs import Repeated
from sgn_rt.tensorrt.run.options import RunOptions
from sgn_rt.tensorrt.run.runtime import Call, Context, Model
from sgn_rt.tensorrt.run.states import Held, Slot, load, store

_HEARD, _PARTS, _FLAGS = "heard", "parts", "flags"
_STAGED: Final = (Tensor.MIXTURE, Tensor.CATEGORIES, Tensor.PRESENCE, _PARTS, _FLAGS)
"""What goes to the device and comes back by staging of the lane's own."""


class _Work(NamedTuple):
    """What a call gives to the stream, and a graph is made of.

    Attributes
    ----------
    network
        Whether the network runs, or only the synthesis on what is there.
    call
        Windows and sources; no sources, no synthesis.
    length
        Samples of a source that are heard; 0 where the host is sent all of them.
    form
        What they are sent as.
    """

    network: bool
    call: Call
    length: int
    form: SampleFormat

    def fits_in(self, other: _Work) -> bool:
        """Whether the other is the same for as many windows and samples, or more."""
        call = Call(other.call.batch, self.call.sources)
        same = self._replace(call=call, length=other.length) == other
        return same and self.call.batch <= call.batch and self.length <= other.length


@dataclass(slots=True)
class _Waiting:
    """A call whose answer is to be collected."""

    work: _Work
    rows: int
    parts: Sequence[Part]
    answer: Pinned | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of a call.

    Attributes
    ----------
    presence
        shape = (B, C), float32; None where the network did not run.
    heard
        Of each window shape = (S, samples of its part): views of memory that is lent for as long
        as they live.
    finite
        shape = (B,); whether a window's sources are.
    """

    presence: Float | None
    heard: list[NDArray[Any]]
    finite: NDArray[np.bool_]


class Lane:
    """Runs calls one after the other: `submit` returns at once, `collect` waits for the answer.

    With two lanes, one's copies run while the other computes. Network and synthesis are two engines
    on the same memory, given to one stream without a wait between. Memory is kept for the largest
    call so far. Where calls of a shape follow each other, they are one CUDA graph from the second
    on; there is one graph at a time, as it holds only while the contexts keep their shapes. So a
    smaller call, such as the last of a recording, runs in the shape that is in use; the next such
    call has a shape of its own.

    Parameters
    ----------
    model
        What it runs.
    answers
        Memory for what comes back.
    options
        As chosen.

    Raises
    ------
    EngineError
        If the device or TensorRT fails.
    """

    def __init__(self, model: Model, answers: AnswerPool, options: RunOptions) -> None:
        self._model, self._device, self._answers = model, model.device, answers
        self._samples = model.network.config.window_samples
        self._last: _Work | None = None
        self._set: dict[Context, Call] = {}
        self._is_stretched = self._closed = False
        self._waiting: _Waiting | None = None
        self._repeated = Repeated(self._device, model.network.lock, captures=options.graphs)
        with self._device.current():
            self._network = model.network.new_context()
            self._synthesis = None if model.synthesis is None else model.synthesis.new_context()
            self._stream = self._device.stream()
            try:
                self._done: Event = self._device.event(spin=options.spin)
            except BaseException:
                self._stream.close()
                raise
        self._buffers = Buffers(self._device)

    @property
    def has_graph(self) -> bool:
        """Whether the last call's shape is a CUDA graph."""
        return self._repeated.has_graph

    @property
    def graph_failure(self) -> str | None:
        """Why the last capture failed; None where none has."""
        return self._repeated.failure

    def submit(
        self,
        windows: Windows,
        categories: Positions,
        parts: Sequence[Part],
        keep: Held | None = None,
    ) -> None:
        """Begin with the network on windows, and the synthesis of some categories behind it.

        Parameters
        ----------
        windows
            shape = (B, N), float32, at most the model's largest batch.
        categories
            shape = (S,), int64, at most the synthesis's largest number; none for presence alone.
        parts
            What is heard of each window's sources.
        keep
            Where states are to be kept; None for nowhere. It has to live until `collect`.
        """
        rows = len(windows)
        with self._device.current(), ranged(Range.WINDOW):
            work = self._plan(rows, len(categories), parts, network=True)
            self._fit(work)
            with ranged(Range.COPIES):
                staged = self._buffers.host(Tensor.MIXTURE, np.float32, (work.call.batch, -1))
                for row, window in zip(staged, windows, strict=False):
                    row[...] = window
            self._run(work, rows, categories, parts)
            if keep is not None and keep.slot is not None:
                store(self._device, keep.slot, rows, self._buffers.address, self._stream)
            self._done.record(self._stream)

    def again(
        self,
        places: Sequence[tuple[Slot, int]] | None,
        categories: Positions,
        parts: Sequence[Part],
    ) -> None:
        """Begin with the synthesis alone.

        Parameters
        ----------
        places
            Slot and row of each window's state, in use until `collect`; None for the windows of
            the last call.
        categories, parts
            As `submit`; at least one category.
        """
        with self._device.current(), ranged(Range.WINDOW):
            work = self._plan(len(parts), len(categories), parts, network=False)
            self._fit(work)
            load(self._device, places or (), self._buffers.address, self._stream)
            self._run(work, len(parts), categories, parts)
            self._done.record(self._stream)

    def collect(self) -> Outcome:
        """Wait for the answer."""
        waiting, self._waiting = self._waiting, None
        assert waiting is not None, "submit first"
        (network, call, length, form), rows, parts = waiting.work, waiting.rows, waiting.parts
        try:
            with self._device.current():
                self._done.synchronize()
        except BaseException:
            self._waiting = waiting  # what its memory is used for is unknown: `close` waits
            raise
        presence = None
        if network:
            presence = self._buffers.host(Tensor.PRESENCE, np.float32, (call.batch, -1))[:rows]
            presence = presence.copy()
        if waiting.answer is None:
            return Outcome(presence, [], np.ones(rows, np.bool_))
        shape = (rows, call.sources, length or self._samples)
        size = form.dtype.itemsize * int(np.prod(shape))
        written = self._answers.lend(waiting.answer, size).view(form.dtype).reshape(shape)
        if length == 0:
            return Outcome(presence, *cut_here(written, parts))
        flags = self._buffers.host(_FLAGS, np.int32, (call.batch,))[:rows]
        return Outcome(presence, from_windows(written, parts, self._samples), flags == 0)

    def close(self) -> None:
        """Wait for the device, and free everything; also after an error, and twice."""
        if self._closed:
            return
        self._closed = True
        with self._device.current():
            with suppress(EngineError):  # whatever failed has been raised where it did
                self._stream.synchronize()
            self._repeated.forget()
            self._set.clear()
            del self._network, self._synthesis
            if self._waiting is not None and self._waiting.answer is not None:
                self._answers.put_back(self._waiting.answer)
            for close in (self._done.close, self._stream.close, self._buffers.close):
                with suppress(EngineError):
                    close()

    def _plan(self, rows: int, sources: int, parts: Sequence[Part], *, network: bool) -> _Work:
        """What is to run: the shape in use, where that is larger and was not stretched before."""
        assert self._waiting is None, "collect the last answer first"
        cuts = self._model.kernels is not None and sources > 0
        form = form_of(parts) if cuts else SampleFormat.FLOAT32
        own = _Work(network, Call(rows, sources), longest(parts) if cuts else 0, form)
        used = self._last
        fits = used is not None and used != own and own.fits_in(used)
        self._is_stretched = fits and not self._is_stretched
        return used if used is not None and self._is_stretched else own

    def _fit(self, work: _Work) -> None:
        """Make room, and set shapes; what was captured for others goes."""
        if work != self._last:
            self._repeated.forget()
            self._last = None
        model, call = self._model, work.call
        # An engine has no empty inputs: where it is whole, presence alone still takes a source.
        first = Call(call.batch, max(1, call.sources) if model.synthesis is None else 0)
        contexts = [(model.network, self._network, first)]
        if model.synthesis is not None and self._synthesis is not None and call.sources:
            contexts.append((model.synthesis, self._synthesis, call))
        for loaded, context, sizes in contexts[0 if work.network else 1 :]:
            for name in loaded.tensors:
                self._room(name, loaded.nbytes(name, sizes))
            if self._set.get(context) != sizes:
                self._repeated.forget()
                self._set.pop(context, None)
                context.set_call(sizes, self._stream.handle)
                self._set[context] = sizes
        if work.length:
            size = call.batch * call.sources * work.length * work.form.dtype.itemsize
            self._room(_HEARD, size)
            self._room(_PARTS, call.batch * WINDOW.itemsize)
            self._room(_FLAGS, 4 * call.batch)
        self._last = work

    def _room(self, name: str, size: int) -> None:
        """Room for a tensor, and its address where it is used."""
        if not self._buffers.fit(name, size, staged=name in _STAGED):
            return
        self._repeated.forget()
        address = self._buffers.address(name)
        for loaded, context in zip(
            (self._model.network, self._model.last), (self._network, self._synthesis), strict=True
        ):
            if context is not None and name in loaded.tensors:
                context.set_address(Tensor(name), address)

    def _run(self, work: _Work, rows: int, categories: Positions, parts: Sequence[Part]) -> None:
        """Give the stream all but the states."""
        device, buffers, sources = self._device, self._buffers, len(categories)
        if sources or self._synthesis is None:
            asked = buffers.host(Tensor.CATEGORIES, np.int64, (max(1, sources),))
            asked[...] = categories if sources else 0
        if work.length:
            records = buffers.host(_PARTS, WINDOW, (work.call.batch,))
            write_windows(records, parts, self._samples, work.length)
        self._repeated.run(self._stream, lambda: self._work(work))
        self._waiting = _Waiting(work, rows, parts)
        if sources:
            name = _HEARD if work.length else Tensor.SOURCES
            size = rows * sources * (work.length or self._samples) * work.form.dtype.itemsize
            self._waiting.answer = answer = self._answers.take(size)
            device.download(answer, buffers.address(name), size, self._stream)

    def _work(self, work: _Work) -> None:
        stream, buffers, call = self._stream, self._buffers, work.call
        if work.network:
            buffers.upload(Tensor.MIXTURE, stream)
        if call.sources or self._synthesis is None:
            buffers.upload(Tensor.CATEGORIES, stream)
        if work.length:
            buffers.upload(_PARTS, stream)
        if work.network:
            with ranged(Range.NETWORK):
                self._network.execute(stream.handle)
            buffers.download(Tensor.PRESENCE, stream)
        if call.sources and self._synthesis is not None:
            with ranged(Range.SYNTHESIS):
                self._synthesis.execute(stream.handle)
        if work.length:
            assert self._model.kernels is not None
            self._model.kernels.finish(
                sources=buffers.address(Tensor.SOURCES),
                windows=buffers.address(_PARTS),
                categories=buffers.address(Tensor.CATEGORIES),
                out=buffers.address(_HEARD),
                flags=buffers.address(_FLAGS),
                shape=(call.batch, call.sources, self._samples),
                count=work.length,
                form=work.form,
                stream=stream.handle,
            )
            buffers.download(_FLAGS, stream)
