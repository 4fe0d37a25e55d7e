"""Choices of a build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sgn_rt.errors import ConfigError
from sgn_rt.model.config import ModelConfig
from sgn_rt.tensorrt.bindings import TensorRT

MAX_BATCH: Final = 8
"""Windows at a time, unless the user names another number."""
MAX_OPTIMIZATION_LEVEL: Final = 5
"""TensorRT's own limit."""
MAX_AUX_STREAMS: Final = 16
"""More than there are parts of the network that could run at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """Choices of a build.

    Attributes
    ----------
    gpus
        Compute capabilities, e.g. ``("sm89", "sm120")``; TensorRT for RTX alone can choose.
    max_batch
        Windows that the engine takes at a time.
    max_sources
        Categories that it separates at a time; None for all that the model knows.
    timing_cache
        File that timings are read from and added to; full TensorRT alone.
    hardware_compatible
        The engine also runs on other GPUs from sm80 on, slower; full TensorRT alone.
    version_compatible
        The engine also runs on later versions; full TensorRT alone.
    workspace_bytes
        Scratch memory that a kernel may use; None for no limit.
    optimization_level
        0 to 5: how long is searched for faster kernels; None for TensorRT's own, 3, from which on
        kernels are chosen by their times. Levels above compile kernels to find more: many times as
        long, for what nobody has measured yet.
    aux_streams
        Streams beside the caller's own on which parts of the network may run at once, such as the
        decoder beside the transformer; each costs activation memory. 0 for none; None has TensorRT
        decide whether they are worth it.
    """

    gpus: tuple[str, ...]
    max_batch: int = MAX_BATCH
    max_sources: int | None = None
    timing_cache: Path | None = None
    hardware_compatible: bool = False
    version_compatible: bool = False
    workspace_bytes: int | None = None
    optimization_level: int | None = None
    aux_streams: int | None = None

    def check(self, trt: TensorRT, config: ModelConfig) -> None:
        """Refuse what cannot be.

        Raises
        ------
        ConfigError
            For a number out of range, or an option that this flavour of TensorRT has not.
        """
        if self.max_batch < 1:
            raise ConfigError(
                f"max batch: got {self.max_batch}, expected at least 1. Name another."
            )
        most = len(config.categories)
        if self.max_sources is not None and not 1 <= self.max_sources <= most:
            raise ConfigError(
                f"max sources: got {self.max_sources}, expected 1 to {most}, the model's "
                "categories. "
                "Leave it out for all."
            )
        if self.workspace_bytes is not None and self.workspace_bytes < 1:
            raise ConfigError(
                f"workspace: got {self.workspace_bytes} bytes, expected at least 1. Leave it out "
                "for no limit."
            )
        level, streams = self.optimization_level, self.aux_streams
        if level is not None and not 0 <= level <= MAX_OPTIMIZATION_LEVEL:
            raise ConfigError(
                f"optimization level: got {level}, expected 0 to {MAX_OPTIMIZATION_LEVEL}. "
                "Leave it out for TensorRT's own."
            )
        if streams is not None and not 0 <= streams <= MAX_AUX_STREAMS:
            raise ConfigError(
                f"aux streams: got {streams}, expected 0 to {MAX_AUX_STREAMS}. Leave it out to "
                "have TensorRT decide."
            )
        if not trt.is_rtx:
            return
        for option, given, instead in (
            ("hardware-compatible", self.hardware_compatible, "Name the GPUs with --gpu."),
            ("version-compatible", self.version_compatible, "Build again after an upgrade."),
            (
                "timing-cache",
                self.timing_cache is not None,
                "It times nothing when it builds: leave it out.",
            ),
        ):
            if given:
                raise ConfigError(
                    f"{option}: got it with {trt.flavor}, expected it with tensorrt alone. "
                    f"{instead}"
                )
