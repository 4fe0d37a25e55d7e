"""A live stream that a tritonserver separates: the client's side of the model ``live``."""

from __future__ import annotations

import json
import secrets
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from sgn_rt._process import OneProcess
from sgn_rt._types import Float
from sgn_rt.audio.samples import as_samples
from sgn_rt.errors import EngineError, SgnError
from sgn_rt.model.contract import Tensor
from sgn_rt.serving.triton import wire
from sgn_rt.serving.triton.calls import grpc_client, meaning
from sgn_rt.streaming.buffers import Queue
from sgn_rt.streaming.output import RESIDUAL

PIECE_S: Final = 5.0
"""Sound of a request, at most: a longer block goes in several."""
ABORT_S: Final = 10.0
"""Seconds that `TritonStream.abort` waits for the server to let go, at most."""
AHEAD_S: Final = 30.0
"""Sound that may be unanswered before `TritonStream.feed` waits."""


class TritonStream(OneProcess):
    """Separates a live signal on a server: `feed` blocks, `read` what is ready, `close`.

    After `close` exactly as many samples have come out as went in. Belongs to one caller at a time.
    Made by `TritonClient.stream`.

    Attributes
    ----------
    sample_rate, channels
        Of input and output alike.
    categories
        Names of the sources that come out, in order.
    latency_samples
        Declared and exact latency, at ``sample_rate``.
    """

    def __init__(
        self,
        url: str,
        model: str,
        known: Sequence[str],
        *,
        sample_rate: int,
        channels: int,
        categories: Sequence[str],
        timeout_s: float,
        residual: bool,
        **options: Any,
    ) -> None:
        self.sample_rate, self.channels = sample_rate, channels
        self.categories, self.latency_samples = tuple(categories), 0
        self._names = (*categories, RESIDUAL) if residual else self.categories
        self._url, self._model, self._known, self._timeout_s = url, model, tuple(known), timeout_s
        self._presence: Float = np.zeros(len(known), np.float32)
        self._present = np.zeros(len(known), np.bool_)
        self._number = 1 + secrets.randbelow((1 << 63) - 1)
        self._changed = threading.Condition()
        self._unanswered: deque[int] = deque()  # samples of each request
        self._queue, self._ready = Queue(), 0
        self._error: SgnError | None = None
        self._begun, self._ended = False, False
        self._triton = grpc_client()
        self._client = self._triton.InferenceServerClient(url)
        self._client.start_stream(self._heard)
        try:
            first = {"sample_rate": sample_rate, "channels": channels, "residual": residual}
            first |= {"categories": list(categories)} | options
            self._send(np.zeros((channels, 0), np.float32), parameters=_parameters(first))
            self._wait(0)
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

    @property
    def presence(self) -> dict[str, float]:
        """Highest probability of each category so far, as far as it is known here, 0 to 1."""
        return dict(zip(self._known, self._presence.tolist(), strict=True))

    @property
    def present(self) -> tuple[str, ...]:
        """What counts as present so far."""
        known = zip(self._known, self._present, strict=True)
        return tuple(name for name, is_present in known if is_present)

    def feed(self, block: Any) -> None:
        """Send a block; waits only where the server is `AHEAD_S` behind.

        Parameters
        ----------
        block
            As `sgn_rt.streaming.stream.Stream.feed`.

        Raises
        ------
        AudioError
            As `Stream.feed`; the block is then not taken.
        SgnError
            After `close`, and from then on where the server failed: begin another stream.
        """
        self._expect_open()
        samples = as_samples(block, what="input", channels=self.channels)
        piece, most = (round(seconds * self.sample_rate) for seconds in (PIECE_S, AHEAD_S))
        for start in range(0, samples.shape[1], piece):
            self._wait(most)
            self._send(samples[:, start : start + piece])

    def read(self) -> dict[str, Float]:
        """What is ready, possibly no samples: category -> shape = (channels, samples), float32.

        Raises
        ------
        SgnError
            Where the server failed.
        """
        self._expect_own_process()
        with self._changed:
            self._raise()
            samples, self._ready = self._ready, 0
            return self._queue.take(self._names, self.channels, samples)

    def close(self) -> dict[str, Float]:
        """End the signal, wait for the rest and give it; then nothing is of use any more.

        Raises
        ------
        SgnError
            Where the server failed.
        """
        self._expect_open()
        try:
            self._send(np.zeros((self.channels, 0), np.float32), end=True)
            self._wait(0)
            return self.read()
        finally:
            self._let_go()

    def abort(self) -> None:
        """Drop everything at once, here and, if it can be told, on the server."""
        if not self._ended:
            with suppress(SgnError, self._triton.InferenceServerException):
                self._error = None
                nothing = np.zeros((self.channels, 0), np.float32)
                self._send(nothing, end=True, parameters={wire.ABORT: True})
                self._wait(0, timeout_s=min(ABORT_S, self._timeout_s))
        self._let_go()

    def _let_go(self) -> None:
        self._ended = True
        # Triton 2.51 may keep a model from unloading whose requests were cancelled, also just after
        # they were answered or refused: only what is still to be answered is cancelled.
        self._client.stop_stream(cancel_requests=bool(self._unanswered))
        self._client.close()

    def _expect_open(self) -> None:
        self._expect_own_process()
        if self._ended:
            raise SgnError("stream: got a call after its end, expected none. Begin another one.")
        with self._changed:
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _send(
        self, block: Float, *, end: bool = False, parameters: Mapping[str, Any] | None = None
    ) -> None:
        tensor = self._triton.InferInput(wire.AUDIO, [1, *block.shape], "FP32")
        tensor.set_data_from_numpy(np.ascontiguousarray(block[None]))
        begins = not self._begun
        self._begun, self._ended = True, self._ended or end
        with self._changed:
            self._unanswered.append(block.shape[1])
        try:
            self._client.async_stream_infer(
                self._model,
                [tensor],
                sequence_id=self._number,
                sequence_start=begins,
                sequence_end=end,
                parameters=None if parameters is None else dict(parameters),
            )
        except self._triton.InferenceServerException as error:
            raise meaning(error, self._model, self._url) from error

    def _heard(self, result: Any, error: Any) -> None:
        """Called in a thread of tritonclient's for each answer, in the order of the requests."""
        with self._changed:
            if self._unanswered:
                self._unanswered.popleft()
            if error is not None:
                self._error = self._error or meaning(error, self._model, self._url)
            else:
                self._take(result)
            self._changed.notify_all()

    def _take(self, result: Any) -> None:
        names = (str(Tensor.SOURCES), str(Tensor.PRESENCE), wire.PRESENT, wire.LATENCY)
        found = [result.as_numpy(name) for name in names]
        if any(array is None for array in found):
            self._error = EngineError(
                f"Triton: model {self._model!r} at {self._url}: got an answer without "
                "content, expected sources. Install NumPy 1 where the model runs: "
                "pip install 'numpy<2'"
            )
            return
        (sources,), (self._presence,), (self._present,), ((latency,),) = found
        self.latency_samples = int(latency)
        if sources.shape[-1]:
            self._queue.put(dict(zip(self._names, sources, strict=True)))
            self._ready += sources.shape[-1]

    def _wait(self, most: int, timeout_s: float | None = None) -> None:
        """Until no more than so many samples are unanswered; 0 for no request.

        Raises
        ------
        SgnError
            If the server failed, or nothing came in time.
        """
        limit = self._timeout_s if timeout_s is None else timeout_s
        with self._changed:
            while self._error is None and self._waits(most):
                before = len(self._unanswered)
                if not self._changed.wait(limit) and len(self._unanswered) == before:
                    self._error = EngineError(
                        f"Triton: model {self._model!r} at {self._url}: got no answer for "
                        f"{limit:g} s, expected one. Look whether the server lives, and how many "
                        "streams it has."
                    )
            self._raise()

    def _waits(self, most: int) -> bool:
        return bool(self._unanswered) if most == 0 else sum(self._unanswered) > most


def _parameters(options: Mapping[str, Any]) -> dict[str, Any]:
    """As parameters of a request: whole numbers as they are, the rest as JSON; None left out."""
    return {
        name: value if type(value) in (int, bool) else json.dumps(value)
        for name, value in options.items()
        if value is not None
    }
