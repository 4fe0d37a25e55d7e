"""The model ``live`` as Triton's Python backend runs it: `LiveService` behind its sequences."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from sgn_rt.errors import ConfigError, SgnError
from sgn_rt.model.contract import Tensor
from sgn_rt.separator import Separator
from sgn_rt.serving.triton import wire
from sgn_rt.serving.triton.environment import ModelSettings, backend_utils, expect_readable_arrays
from sgn_rt.serving.triton.live_service import Block, LiveAnswer, LiveService


class LiveModel:
    """Triton makes one for each instance, in a process of its own."""

    def initialize(self, arguments: Mapping[str, str]) -> None:
        """Open the bundle of the repository, and prove its engine; an error fails the loading."""
        self._utils = backend_utils()
        expect_readable_arrays()
        settings = ModelSettings(arguments)
        self._separator = Separator.open(
            settings.bundle, settings.engine, threads=settings.threads, device=settings.device
        )
        idle_s = float(settings.text(wire.IDLE_KEY))
        self._service = LiveService(
            self._separator,
            # Triton gives up a sequence after that time; it is not told here, and its clock is not
            # this one. None is dropped that Triton still knows.
            idle_s=2.0 * idle_s,
        )
        self._over = threading.Event()
        self._reaper = threading.Thread(target=self._reap, args=(idle_s,), daemon=True)
        self._reaper.start()

    def execute(self, requests: Sequence[Any]) -> None:
        """Take the blocks that have come; their answers come later, by their own senders."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                number, block = self._read(request)
            except SgnError as error:
                self._send(sender, error)
            else:
                self._service.take(number, block, partial(self._send, sender))

    def finalize(self) -> None:
        """Answer what waits, and let go of the engine."""
        self._over.set()
        self._reaper.join()
        self._service.close()
        self._separator.close()

    def _reap(self, idle_s: float) -> None:
        while not self._over.wait(idle_s):
            self._service.drop_stale()

    def _read(self, request: Any) -> tuple[int, Block]:
        audio, start, end, number = (
            self._utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in (wire.AUDIO, wire.START, wire.END, wire.CORRELATION)
        )
        parameters = json.loads(request.parameters() or "{}")
        options = _options(parameters) if start.ravel()[0] else None
        ends = bool(end.ravel()[0])
        block = Block(audio[0], options, ends, ends and bool(parameters.get(wire.ABORT)))
        return int(number.ravel()[0]), block

    def _send(self, sender: Any, answer: LiveAnswer | SgnError) -> None:
        utils = self._utils
        if isinstance(answer, SgnError):
            response = utils.InferenceResponse(error=utils.TritonError(wire.error_text(answer)))
        else:
            tensors = {
                str(Tensor.SOURCES): answer.sources[None],
                str(Tensor.PRESENCE): answer.presence[None],
                wire.PRESENT: answer.present[None],
                wire.LATENCY: np.array([[answer.latency_samples]], np.int64),
            }
            response = utils.InferenceResponse([utils.Tensor(*each) for each in tensors.items()])
        sender.send(response, flags=utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a stream, of texts what they are as JSON."""
    found = {}
    for name, value in parameters.items():
        try:
            found[name] = json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ConfigError(
                f"live: {name}: got the text {value!r:.80}, expected JSON. "
                'Write texts in quotes and lists in brackets, as ["violin"].'
            ) from error
    return found
