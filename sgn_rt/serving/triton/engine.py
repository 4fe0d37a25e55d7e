"""An engine that has a tritonserver run the network: windows go there, sources come back."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float, Positions, Separated
from sgn_rt.engines.base import WholeEngine
from sgn_rt.errors import EngineError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import Precision, Tensor
from sgn_rt.serving.triton.calls import DeadModelError, grpc_client, meaning


class TritonEngine(WholeEngine):
    """The model ``windows`` of a tritonserver.

    Windows go one a call, as many calls at a time as there are threads: Triton joins those of all
    clients.

    Parameters
    ----------
    config
        Of the network that is served.
    client
        ``tritonclient.grpc.InferenceServerClient``; its owner closes it.
    url
        Of the server, for messages.
    model
        Its name there.
    calls
        In flight at a time.
    timeout_s
        Of a call.
    recover
        Load a model again whose process has died.
    """

    name = "triton"
    precision = Precision.FP32  # of its limits: the strictest there are

    def __init__(
        self,
        config: ModelConfig,
        client: Any,
        *,
        url: str,
        model: str,
        calls: int,
        timeout_s: float,
        recover: bool,
    ) -> None:
        super().__init__(config)
        self.detail = f"model {model} at {url}"
        self.concurrency = calls
        self._client, self._triton = client, grpc_client()
        self._url, self._model, self._timeout_s = url, model, timeout_s
        self._recovers, self._reloads, self._lock = recover, 0, threading.Lock()

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        rows = np.ascontiguousarray(np.tile(categories, (len(mixture), 1)), np.int64)
        reloads = self._reloads
        try:
            return self._infer(mixture, rows)
        except DeadModelError:
            if not self._recovers:
                raise
            self._reload(reloads)
        return self._infer(mixture, rows)

    def _infer(self, mixture: Float, categories: Positions) -> Separated:
        triton = self._triton
        inputs = [
            self._input(Tensor.MIXTURE, mixture, "FP32"),
            self._input(Tensor.CATEGORIES, categories, "INT64"),
        ]
        try:
            answer = self._client.infer(self._model, inputs, client_timeout=self._timeout_s)
        except triton.InferenceServerException as error:
            raise meaning(error, self._model, self._url) from error
        sources, presence = (
            answer.as_numpy(str(name)) for name in (Tensor.SOURCES, Tensor.PRESENCE)
        )
        if sources is None or presence is None:
            raise EngineError(
                f"{self.name}: got an answer without content, expected sources and presence. "
                "Install NumPy 1 where the model runs: pip install 'numpy<2'"
            )
        return Separated(sources, presence)

    def _input(self, name: str, array: NDArray[Any], kind: str) -> Any:
        tensor = self._triton.InferInput(str(name), list(array.shape), kind)
        tensor.set_data_from_numpy(np.ascontiguousarray(array))
        return tensor

    def _reload(self, seen: int) -> None:
        """Load the model again, once for all calls that found it dead.

        Raises
        ------
        EngineError
            If the server does not take that, or the model does not start.
        """
        with self._lock:
            if self._reloads != seen:
                return
            reload_model(self._client, self._model, self._url, self._timeout_s)
            self._reloads += 1


def reload_model(client: Any, model: str, url: str, timeout_s: float) -> None:
    """Unload a model and load it again, which gives it new processes.

    Raises
    ------
    EngineError
        If the server does not take it, as in any mode but ``explicit``, or it does not start.
    """
    triton = grpc_client()
    try:
        client.unload_model(model, client_timeout=timeout_s)
        client.load_model(model, client_timeout=timeout_s)
    except triton.InferenceServerException as error:
        raise EngineError(
            f"Triton: model {model!r} at {url}: got no process that lives, and it cannot be loaded "
            f"again ({' '.join(str(error).split())[:300]}), expected a server with "
            "--model-control-mode=explicit. Restart the server."
        ) from error
