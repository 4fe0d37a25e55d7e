"""Calls of a tritonserver, and what their errors mean."""

from __future__ import annotations

from typing import Any

from sgn_rt._optional import require
from sgn_rt.errors import EngineError, SgnError, UnavailableError
from sgn_rt.serving.triton import wire


class DeadModelError(EngineError):
    """A model whose process has ended: Triton still calls it ready, and every call of it fails."""


def grpc_client() -> Any:
    """The module ``tritonclient.grpc``.

    Raises
    ------
    DependencyError
        If it is not installed.
    """
    return require("tritonclient.grpc", extra="triton", purpose="a client of Triton")


def meaning(error: Any, model: str, url: str) -> SgnError:
    """What an InferenceServerException says, as an error of ours.

    Parameters
    ----------
    error
        What was raised, or came in the place of an answer.
    model
        That was called.
    url
        Of the server.
    """
    status, text = str(error.status() or ""), str(error.message() or error)
    ours = wire.error_of(text)
    if ours is not None:
        return ours
    where, said = f"Triton: model {model!r} at {url}", " ".join(text.split())[:300].rstrip(".")
    if "Stub process" in text or "is not healthy" in text:
        return DeadModelError(
            f"{where}: got {said!r}, expected a process that lives. Load the model again "
            "(unload and load, which the server takes with --model-control-mode=explicit), or "
            "restart the server."
        )
    if "UNAVAILABLE" in status or "CANCELLED" in status or "failed to connect" in text:
        return UnavailableError(
            f"{where}: got no server ({said}), expected tritonserver. Start it, or correct the "
            "address: that of gRPC, as 127.0.0.1:8001."
        )
    if "DEADLINE_EXCEEDED" in status:
        return EngineError(
            f"{where}: got no answer in time ({said}), expected one. Look at the server's load, or "
            "allow a longer timeout."
        )
    if "NOT_FOUND" in status or "unknown model" in text or "is not ready" in text:
        return UnavailableError(
            f"{where}: got {said!r}, expected it to be loaded. Start the server with "
            f"--load-model={model}, and look at its log."
        )
    return EngineError(f"{where}: got {said!r}, expected an answer. Look at the server's log.")


def facts_of(client: Any, model: str, url: str, timeout_s: float) -> dict[str, str]:
    """Parameters of a model's configuration, by key.

    Raises
    ------
    EngineError
        If the server is not there, or the model is not loaded, or not one of ours.
    """
    triton = grpc_client()
    try:
        if not client.is_model_ready(model, client_timeout=timeout_s):
            raise UnavailableError(
                f"Triton: model {model!r} at {url}: got a server on which it is not ready, "
                f"expected it to be loaded. Start the server with "
                f"--load-model={model}, and look at its log."
            )
        config = client.get_model_config(model, client_timeout=timeout_s).config
    except triton.InferenceServerException as error:
        raise meaning(error, model, url) from error
    facts = {key: value.string_value for key, value in config.parameters.items()}
    if wire.CONFIG_KEY not in facts:
        raise EngineError(
            f"Triton: model {model!r} at {url}: got a model that says nothing of an SGN, "
            "expected one that `sgn-rt triton` wrote. Name another model."
        )
    return facts
