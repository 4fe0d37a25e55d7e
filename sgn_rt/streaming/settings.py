"""What a stream was asked for, checked, and what follows from it for as long as it lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sgn_rt._types import Positions, SampleFormat
from sgn_rt.audio.level import TrainingLevel
from sgn_rt.audio.limits import checked_channels, checked_rate
from sgn_rt.audio.resample import Resampler
from sgn_rt.errors import CategoryError
from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.answers import Separates
from sgn_rt.streaming.choices import checked_categories, checked_gain
from sgn_rt.streaming.output import RESIDUAL
from sgn_rt.streaming.presence import PresenceRule
from sgn_rt.streaming.windows import WindowLayout, place


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamSettings:
    """What stays the same over all signals of a stream. Use `live` or `of`.

    Attributes
    ----------
    config
        The model's configuration.
    sample_rate, channels
        Of input and output alike.
    named
        Categories to begin with.
    rule
        What counts as present.
    residual
        Whether what is left of the mixture is wanted, too.
    gain_db
        On what the network sees; taken off the sources again.
    training_level
        Of the model; None for no warning.
    sample_format
        What samples may come from a GPU in.
    to_model, from_model
        From the caller's rate to the model's, and back.
    layout
        Where windows lie.
    latency_samples
        Declared and exact, at ``sample_rate``.
    """

    config: ModelConfig
    sample_rate: int
    channels: int
    named: tuple[str, ...]
    rule: PresenceRule
    residual: bool
    gain_db: float
    training_level: TrainingLevel | None
    sample_format: SampleFormat
    to_model: Resampler
    from_model: Resampler
    layout: WindowLayout
    latency_samples: int

    @classmethod
    def live(
        cls,
        engine: Separates,
        config: ModelConfig,
        *,
        categories: Sequence[str] | None,
        gain_db: float,
        threshold: float | Mapping[str, float] | None,
        **options: Any,
    ) -> Self:
        """Settings as a caller says them: `sgn_rt.separator.Separator.stream`.

        Raises
        ------
        CategoryError, AudioError, ConfigError
            For what is not known, or cannot be had.
        """
        return cls.of(
            engine,
            config,
            categories=checked_categories(config, categories),
            rule=PresenceRule.of(config, threshold),
            gain_db=checked_gain(gain_db),
            training_level=config.training_level_dbfs,
            **options,
        )

    @classmethod
    def of(
        cls,
        engine: Separates,
        config: ModelConfig,
        *,
        sample_rate: int,
        channels: int,
        categories: Sequence[str],
        rule: PresenceRule,
        latency_s: float | None = None,
        residual: bool = False,
        gain_db: float = 0.0,
        training_level: TrainingLevel | None = None,
        sample_format: SampleFormat = "float32",
    ) -> Self:
        """Settings for an engine; ``latency_s`` as for `place`.

        Raises
        ------
        CategoryError
            For a category of the residual's name, where that is wanted.
        AudioError, ConfigError
            For a rate, number of channels or latency that cannot be had.
        """
        sample_rate, channels = checked_rate(sample_rate), checked_channels(channels)
        if residual and RESIDUAL in categories:
            raise CategoryError(
                f"categories: got {RESIDUAL!r} among them, expected another name, as the residual "
                "goes by it. Leave one of both out."
            )
        to_model = engine.resampler(sample_rate, config.sample_rate)
        from_model = engine.resampler(config.sample_rate, sample_rate)
        context_s = max(to_model.context_s, from_model.context_s)
        layout, latency = place(config, sample_rate, context_s, latency_s)
        return cls(
            config=config,
            sample_rate=sample_rate,
            channels=channels,
            named=tuple(categories),
            rule=rule,
            residual=residual,
            gain_db=gain_db,
            training_level=training_level,
            sample_format=sample_format,
            to_model=to_model,
            from_model=from_model,
            layout=layout,
            latency_samples=latency,
        )

    @property
    def gain(self) -> float:
        """Factor on what the network sees."""
        return float(10.0 ** (self.gain_db / 20.0))

    @property
    def step_s(self) -> float:
        """From one window to the next, seconds."""
        return self.layout.step / self.config.sample_rate

    @property
    def names(self) -> tuple[str, ...]:
        """What comes out of a stream whose categories were named, in order."""
        return (*self.named, RESIDUAL) if self.residual else self.named

    def positions(self, names: Sequence[str]) -> Positions:
        """Of categories in the model's list, shape = (S,), int64."""
        known = self.config.categories
        return np.array([known.index(name) for name in names], dtype=np.int64)
