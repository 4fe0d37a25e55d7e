"""The model ``windows`` as Triton's Python backend runs it: `WindowsService` behind its tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sgn_rt.errors import SgnError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import Tensor
from sgn_rt.parity.service import Service
from sgn_rt.serving.triton import wire
from sgn_rt.serving.triton.environment import ModelSettings, backend_utils, expect_readable_arrays
from sgn_rt.serving.triton.windows_service import Asked, WindowsService


class WindowsModel:
    """Triton makes one for each instance, in a process of its own."""

    def initialize(self, arguments: Mapping[str, str]) -> None:
        """Open the bundle of the repository, and prove its engine; an error fails the loading."""
        self._utils = backend_utils()
        expect_readable_arrays()
        settings = ModelSettings(arguments)
        bundle = Bundle.open(settings.bundle)
        self._engine = Service(
            bundle, settings.engine, "fallback", settings.threads, None, device=settings.device
        )
        self._service = WindowsService(self._engine.engine, bundle.config)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests that Triton's batcher has joined."""
        asked = [Asked(*(_input(self._utils, request, name)
                         for name in (Tensor.MIXTURE, Tensor.CATEGORIES)))
                 for request in requests]  # fmt: skip
        return [self._response(answer) for answer in self._service.answer(asked)]

    def finalize(self) -> None:
        """Let go of the engine."""
        self._service.close()
        self._engine.close()

    def _response(self, answer: Any) -> Any:
        utils = self._utils
        if isinstance(answer, SgnError):
            return utils.InferenceResponse(error=utils.TritonError(wire.error_text(answer)))
        named = zip((Tensor.SOURCES, Tensor.PRESENCE), answer, strict=True)
        return utils.InferenceResponse([utils.Tensor(str(name), array) for name, array in named])


def _input(utils: Any, request: Any, name: str) -> Any:
    return utils.get_input_tensor_by_name(request, str(name)).as_numpy()
