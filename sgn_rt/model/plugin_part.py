"""What sgn-rt's TensorRT plugins compute of a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sgn_rt.model.config import ModelConfig

UNUSED_EPSILON: Final = 1e-3
"""In a node whose logarithm nobody reads."""


def plugins_part(config: ModelConfig) -> ModelConfig:
    """The model whose transforms the plugins are: Hann's window, log axis, logarithm, ratio masks.

    Where a network wants less or other things, these stand in standard operators between them; but
    another window the plugins do not know.
    """
    if not config.is_whole:
        return config
    return replace(
        config, window="hann", frequency_axis="log", input="log_magnitude", mask="ratio",
        log_epsilon=config.log_epsilon or UNUSED_EPSILON,
    )  # fmt: skip
