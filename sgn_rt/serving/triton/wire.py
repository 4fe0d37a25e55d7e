"""Names of what client and models say to each other through Triton."""

from __future__ import annotations

from typing import Final

from sgn_rt import errors
from sgn_rt.errors import SgnError

WINDOWS: Final = "windows"
"""The model that separates windows of the network."""
LIVE: Final = "live"
"""The model that separates live streams, one a sequence."""

AUDIO: Final = "audio"
"""Of ``live``: a block, shape = (1, channels, samples), float32, possibly of no samples."""
PRESENT: Final = "present"
"""Of ``live``: what counts as present so far, shape = (1, C), bool."""
LATENCY: Final = "latency_samples"
"""Of ``live``: the stream's latency, at its own rate, int64."""
START: Final = "START"
READY: Final = "READY"
END: Final = "END"
CORRELATION: Final = "CORRID"
"""Controls of ``live``, as Triton fills them in."""

ABORT: Final = "abort"
"""Parameter of the request that ends a stream: what is left of it is not wanted."""

CONFIG_KEY: Final = "sgn_config"
IDENTITY_KEY: Final = "sgn_identity"
NAME_KEY: Final = "sgn_name"
ENGINE_KEY: Final = "sgn_engine"
THREADS_KEY: Final = "sgn_threads"
IDLE_KEY: Final = "sgn_idle_seconds"
"""Parameters of a model's configuration: what a client knows of the model, and what the model is
told to do."""

STREAM_OPTIONS: Final = (
    *("sample_rate", "channels", "categories", "latency_s"),
    *("residual", "gain_db", "threshold"),
)
"""Parameters of a stream's first request, as `sgn_rt.Separator.stream` takes them; those that are
texts are JSON."""


def error_text(error: SgnError) -> str:
    """An error as a model sends it: what it is, and what it says."""
    return f"{type(error).__name__}: {error}"


def error_of(text: str) -> SgnError | None:
    """The error that a model sent; None for what is none of ours."""
    name, _, said = text.partition(": ")
    kind = getattr(errors, name, None)
    if not said or not isinstance(kind, type) or not issubclass(kind, SgnError):
        return None
    return kind(said)
