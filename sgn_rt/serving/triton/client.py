"""A client of the models that `sgn-rt triton` writes: recordings and live streams to sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Unpack, cast

from sgn_rt._process import Closes, OneProcess
from sgn_rt.audio.limits import checked_channels, checked_rate
from sgn_rt.audio.writer import Format
from sgn_rt.errors import ConfigError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.parity.service import Service
from sgn_rt.report import Separation, SeparationFiles
from sgn_rt.separator import Separator
from sgn_rt.serving.triton import wire
from sgn_rt.serving.triton.calls import facts_of, grpc_client
from sgn_rt.serving.triton.engine import TritonEngine, reload_model
from sgn_rt.serving.triton.live_client import TritonStream
from sgn_rt.streaming.choices import RecordingOptions, checked_categories, checked_gain

DEFAULT_URL: Final = "127.0.0.1:8001"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What a separator asks of a model that lies elsewhere."""

    config: ModelConfig
    name: str
    identity: str


class TritonClient(Closes, OneProcess):
    """Separates with the models ``windows`` and ``live`` of a tritonserver; shared by threads.

    Parameters
    ----------
    url
        Address and port of gRPC.
    windows, live
        Names of the models, where they are others; each is looked for when it is first needed.
    calls
        Windows in flight at a time.
    timeout_s
        Of a call; a live stream of which nothing comes for so long, while something is due, fails.
    recover
        Load a model again whose process has died, which the server takes in mode ``explicit``;
        else that is an error. The processes of a model end with all their live streams.

    Raises
    ------
    DependencyError
        If tritonclient is not installed.
    ConfigError
        For a number that makes no sense.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        windows: str = wire.WINDOWS,
        live: str = wire.LIVE,
        calls: int = 8,
        timeout_s: float = 60.0,
        recover: bool = True,
    ) -> None:
        if calls < 1 or not timeout_s > 0.0:
            raise ConfigError(
                f"triton: got {calls} calls and a timeout of {timeout_s} s, expected at least one "
                "call and a positive timeout. Leave them out."
            )
        self.url, self._windows, self._live = url, windows, live
        self._calls, self._timeout_s, self._recover = calls, timeout_s, recover
        self._client = grpc_client().InferenceServerClient(url)
        self._separator: Separator | None = None

    def close(self) -> None:
        """Let go of the connection; also done by leaving a ``with`` block."""
        if self._separator is not None:
            self._separator.close()
        self._client.close()

    @property
    def separator(self) -> Separator:
        """A separator whose network runs on the server: files, recordings and streams as ever.

        Windows are laid, cross-faded and brought to the recording's rate here, by the code that
        does it for an engine of this machine, so that the sound is the same.

        Raises
        ------
        EngineError
            If the server is not there, or the model is not loaded.
        """
        self._expect_own_process()
        if self._separator is None:
            facts = facts_of(self._client, self._windows, self.url, self._timeout_s)
            config = ModelConfig.from_json(facts[wire.CONFIG_KEY])
            engine = TritonEngine(
                config,
                self._client,
                url=self.url,
                model=self._windows,
                calls=self._calls,
                timeout_s=self._timeout_s,
                recover=self._recover,
            )
            served = ServedModel(config, facts[wire.NAME_KEY], facts[wire.IDENTITY_KEY])
            # The server has proved its engine; no other can take its place, and no probe is asked
            # of a bundle that is not here.
            bundle = cast("Bundle", served)
            service = Service(bundle, engine.name, "off", None, None, opened=engine)
            self._separator = Separator(bundle, service, threads=None)
        return self._separator

    def separate(
        self,
        mixture: Any,
        categories: Sequence[str] | None = None,
        *,
        sample_rate: int | None = None,
        **options: Unpack[RecordingOptions],
    ) -> Separation:
        """As `sgn_rt.Separator.separate`."""
        return self.separator.separate(mixture, categories, sample_rate=sample_rate, **options)

    def separate_to(
        self,
        path: str | Path,
        folder: str | Path,
        categories: Sequence[str] | None = None,
        *,
        format: Format = "wav",  # noqa: A002 - the option's name
        **options: Unpack[RecordingOptions],
    ) -> SeparationFiles:
        """As `sgn_rt.Separator.separate_to`."""
        return self.separator.separate_to(path, folder, categories, format=format, **options)

    def stream(
        self,
        *,
        sample_rate: int,
        channels: int = 1,
        categories: Sequence[str] | None = None,
        latency_s: float | None = None,
        residual: bool = False,
        gain_db: float = 0.0,
        threshold: float | Mapping[str, float] | None = None,
    ) -> TritonStream:
        """Begin a live stream on the model ``live``: blocks go there, sources come back.

        Parameters are those of `sgn_rt.Separator.stream`. It holds a slot of the server until it
        is closed.

        Raises
        ------
        EngineError
            If the server is not there, the model is not loaded, or no slot is free in time.
        CategoryError, AudioError, ConfigError
            As `sgn_rt.Separator.stream`.
        """
        self._expect_own_process()
        facts = facts_of(self._client, self._live, self.url, self._timeout_s)
        config = ModelConfig.from_json(facts[wire.CONFIG_KEY])
        return TritonStream(
            self.url,
            self._live,
            config.categories,
            sample_rate=checked_rate(sample_rate),
            channels=checked_channels(channels),
            categories=checked_categories(config, categories),
            latency_s=latency_s,
            residual=residual,
            gain_db=checked_gain(gain_db),
            threshold=threshold,
            timeout_s=self._timeout_s,
        )

    def reload(self, model: str | None = None) -> None:
        """Give a model, ``windows`` if none is named, new processes; its live streams are lost.

        Raises
        ------
        EngineError
            If the server does not take it, as in any mode but ``explicit``.
        """
        reload_model(self._client, model or self._windows, self.url, self._timeout_s)
