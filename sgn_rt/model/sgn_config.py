"""Configuration of an SGN: what any model has, and the sizes of this network's layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from sgn_rt.errors import CheckpointError, ConfigError
from sgn_rt.model.config import (
    FrequencyAxis,
    Input,
    MaskKind,
    ModelConfig,
    expect,
    expect_integer,
    register,
)
from sgn_rt.model.contract import (
    CHECKPOINT_CONFIG_KEY,
    CHECKPOINT_FORMAT,
    ENCODER_LEVELS,
    MASK_MULTIPLE,
)
from sgn_rt.model.safetensors_file import Header


@dataclass(frozen=True, slots=True, kw_only=True)
class SgnConfig(ModelConfig):
    """Configuration of an SGN, as stored in its checkpoint under ``sgn_config``.

    Log-magnitude on the log axis in, ratio masks, presence and embeddings out; bins and frames are
    multiples of 128, the window is Hann's. What is not named here is as `ModelConfig` has it.

    Attributes
    ----------
    encoder_channels
        Seven widths c0 .. c6.
    mask_basis
        Number of basis maps (K).
    token_level
        Encoder level from which the tokens are taken, 0 .. 6.
    embedding_dim, transformer_depth, attention_heads
        Of the transformer; the dim is divisible by the heads.

    Raises
    ------
    ConfigError
        For any value that the network cannot have.
    """

    FORMAT: ClassVar[str] = CHECKPOINT_FORMAT

    log_epsilon: float
    encoder_channels: tuple[int, ...]
    mask_basis: int
    token_level: int
    embedding_dim: int
    transformer_depth: int
    attention_heads: int
    frequency_axis: FrequencyAxis = field(init=False, default="log")
    input: Input = field(init=False, default="log_magnitude")
    mask: MaskKind = field(init=False, default="ratio")
    has_presence: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        for name in ("mask_basis", "embedding_dim", "attention_heads"):
            expect_integer(name, getattr(self, name))
        expect_integer("transformer_depth", self.transformer_depth, minimum=0)
        expect_integer("token_level", self.token_level, minimum=0)
        expect("window", self.window == "hann", self.window, "'hann' (periodic)")
        ModelConfig.__post_init__(self)
        for name in ("frequency_bins", "frames"):
            size = getattr(self, name)
            expect(name, size % MASK_MULTIPLE == 0, size, f"a multiple of {MASK_MULTIPLE}")
        channels = self.encoder_channels
        expect("encoder_channels", len(channels) == ENCODER_LEVELS, list(channels),
               f"{ENCODER_LEVELS} widths")  # fmt: skip
        for level, width in enumerate(channels):
            expect_integer(f"encoder_channels[{level}]", width)
        expect("token_level", self.token_level < ENCODER_LEVELS, self.token_level,
               f"an encoder level, 0 to {ENCODER_LEVELS - 1}")  # fmt: skip
        expect(
            "embedding_dim", self.embedding_dim % self.attention_heads == 0, self.embedding_dim,
            f"a multiple of attention_heads = {self.attention_heads}",
        )  # fmt: skip

    @property
    def is_whole(self) -> bool:
        """It is not: masks are made of basis maps, for the categories chosen."""
        return False

    @property
    def maps(self) -> int:
        """The basis maps."""
        return self.mask_basis

    @property
    def tokens(self) -> int:
        """Feature tokens of a window (P)."""
        scale: int = 4 ** (self.token_level + 1)
        return self.frequency_bins * self.frames // scale

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """In the order in which checkpoints have them."""
        return (
            "sample_rate", "n_fft", "hop_length", "window", "window_samples", "frequency_bins",
            "frames", "log_epsilon", "encoder_channels", "mask_basis", "token_level",
            "embedding_dim", "transformer_depth", "attention_heads", "categories",
            "training_level_dbfs", "presence_thresholds",
        )  # fmt: skip


register(SgnConfig)


def as_sgn(config: ModelConfig, what: str) -> SgnConfig:
    """The configuration of an SGN, for ``what`` only an SGN has.

    Raises
    ------
    ConfigError
        If it is that of another network.
    """
    if isinstance(config, SgnConfig):
        return config
    raise ConfigError(
        f"{what}: got a bundle of a user's own network, expected one of an SGN: other networks "
        "have nothing of the kind. Leave it to SGN's bundles."
    )


def config_of_checkpoint(path: Path, header: Header) -> SgnConfig | None:
    """The configuration that a checkpoint carries in its header; None where it carries none.

    Raises
    ------
    CheckpointError
        If it is none that a network can have; ``path`` is named.
    """
    text = header.metadata.get(CHECKPOINT_CONFIG_KEY)
    try:
        return None if text is None else SgnConfig.from_json(text)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
