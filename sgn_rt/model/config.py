"""The facts of one trained SGN, validated once; every size in the package comes from here."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from sgn_rt.errors import CheckpointError, ConfigError
from sgn_rt.model.contract import (
    CHECKPOINT_CONFIG_KEY,
    CHECKPOINT_FORMAT,
    ENCODER_LEVELS,
    MASK_MULTIPLE,
)
from sgn_rt.model.safetensors_file import Header

_MAX_CATEGORIES = 4096
_MAX_SIZE = 1 << 24
"""No size of a real model comes near; keeps arithmetic on hostile configs bounded."""


def _expect(what: str, ok: bool, got: object, expected: str) -> None:
    if not ok:
        raise ConfigError(
            f"{what}: got {got!r:.200}, expected {expected}. Correct the model's configuration."
        )


def _integer(what: str, value: object, minimum: int = 1) -> None:
    ok = isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= _MAX_SIZE
    _expect(what, ok, value, f"an integer from {minimum} to {_MAX_SIZE}")


def _expect_names(names: tuple[object, ...]) -> None:
    """Categories: names of files and lines on terminals, and all different."""
    count, most = len(names), f"one or more names, up to {_MAX_CATEGORIES}"
    _expect("categories", 0 < count <= _MAX_CATEGORIES, count, most)
    wrong = [n for n in names if not (isinstance(n, str) and n and n.isprintable())]
    _expect("categories", not wrong, wrong, "non-empty names of printable characters")
    repeated = sorted(str(name) for name, times in Counter(names).items() if times > 1)
    _expect("categories", not repeated, repeated, "every name once")


def _float(value: object) -> object:
    """JSON's integers as what they are meant to be, where a number is meant."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_SIZE:
        return float(value)
    return value


def _is_range(value: object) -> bool:
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    low, high = value
    numbers = isinstance(low, float) and isinstance(high, float)
    return numbers and -math.inf < low < high < math.inf  # never with a nan


def _are_probabilities(values: object, count: int) -> bool:
    if not isinstance(values, tuple) or len(values) != count:
        return False
    return all(isinstance(value, float) and 0.0 < value < 1.0 for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Configuration of an SGN, as stored in its checkpoint under ``sgn_config``.

    Attributes
    ----------
    sample_rate
        Hz.
    n_fft, hop_length
        STFT frame length (even) and step, in samples; centred, reflect-padded, one-sided.
    window
        ``"hann"`` (periodic), of ``n_fft`` samples.
    window_samples
        Samples of one network window (N).
    frequency_bins
        Bins of the log-frequency axis (L), a multiple of 128.
    frames
        STFT frames of a window (T), a multiple of 128; ``floor(N / hop_length) + 1``.
    log_epsilon
        Added to the magnitude before the natural logarithm.
    encoder_channels
        Seven widths c0 .. c6.
    mask_basis
        Number of basis maps (K).
    token_level
        Encoder level from which the tokens are taken, 0 .. 6.
    embedding_dim, transformer_depth, attention_heads
        Of the transformer; the dim is divisible by the heads.
    categories
        Names, in output order.
    training_level_dbfs
        Lowest and highest RMS of the windows it learnt from, dB of full scale; None where nobody
        says.
    presence_thresholds
        Probability from which a window speaks for a category, one for each in their order, between
        0 and 1; None for 0.5.

    Raises
    ------
    ConfigError
        For any value that the network cannot have.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    window: str = "hann"
    window_samples: int
    frequency_bins: int
    frames: int
    log_epsilon: float
    encoder_channels: tuple[int, ...]
    mask_basis: int
    token_level: int
    embedding_dim: int
    transformer_depth: int
    attention_heads: int
    categories: tuple[str, ...]
    training_level_dbfs: tuple[float, float] | None = None
    presence_thresholds: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in (
            "sample_rate", "n_fft", "hop_length", "window_samples", "frequency_bins", "frames",
            "mask_basis", "embedding_dim", "attention_heads",
        ):  # fmt: skip
            _integer(name, getattr(self, name))
        _integer("transformer_depth", self.transformer_depth, minimum=0)
        _integer("token_level", self.token_level, minimum=0)
        _expect("window", self.window == "hann", self.window, "'hann' (periodic)")
        _expect("n_fft", self.n_fft % 2 == 0 and self.n_fft >= 4, self.n_fft, "an even number")
        _expect(
            "hop_length", self.hop_length <= self.n_fft // 2, self.hop_length,
            f"at most n_fft / 2 = {self.n_fft // 2}, or the inverse STFT has gaps",
        )  # fmt: skip
        _expect(
            "window_samples", self.window_samples > self.n_fft // 2, self.window_samples,
            f"more than n_fft / 2 = {self.n_fft // 2}, as reflect padding needs",
        )  # fmt: skip
        for name in ("frequency_bins", "frames"):
            size = getattr(self, name)
            _expect(name, size % MASK_MULTIPLE == 0, size, f"a multiple of {MASK_MULTIPLE}")
        frames = self.window_samples // self.hop_length + 1
        _expect(
            "frames", self.frames == frames, self.frames,
            f"floor(window_samples / hop_length) + 1 = {frames}",
        )  # fmt: skip
        epsilon = self.log_epsilon
        _expect("log_epsilon", isinstance(epsilon, float) and 0 < epsilon < 1, epsilon,
                "a number between 0 and 1")  # fmt: skip
        channels = self.encoder_channels
        _expect("encoder_channels", len(channels) == ENCODER_LEVELS, list(channels),
                f"{ENCODER_LEVELS} widths")  # fmt: skip
        for level, width in enumerate(channels):
            _integer(f"encoder_channels[{level}]", width)
        _expect("token_level", self.token_level < ENCODER_LEVELS, self.token_level,
                f"an encoder level, 0 to {ENCODER_LEVELS - 1}")  # fmt: skip
        _expect(
            "embedding_dim", self.embedding_dim % self.attention_heads == 0, self.embedding_dim,
            f"a multiple of attention_heads = {self.attention_heads}",
        )  # fmt: skip
        names = self.categories
        _expect_names(names)
        trained = self.training_level_dbfs
        _expect("training_level_dbfs", trained is None or _is_range(trained), trained,
                "two finite floats, low < high, in dBFS")  # fmt: skip
        thresholds = self.presence_thresholds
        ok = thresholds is None or _are_probabilities(thresholds, len(names))
        _expect("presence_thresholds", ok, thresholds,
                f"{len(names)} numbers between 0 and 1, one for each category")  # fmt: skip

    @property
    def bins(self) -> int:
        """Bins of the one-sided spectrum (F = n_fft / 2 + 1)."""
        return self.n_fft // 2 + 1

    @property
    def tokens(self) -> int:
        """Feature tokens of a window (P)."""
        scale: int = 4 ** (self.token_level + 1)
        return self.frequency_bins * self.frames // scale

    @property
    def window_s(self) -> float:
        """Length of a network window, seconds."""
        return self.window_samples / self.sample_rate

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON types, ``format`` first; what nobody says is left out."""
        values = {"format": CHECKPOINT_FORMAT} | asdict(self)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Validate a decoded ``sgn_config``.

        Raises
        ------
        ConfigError
            For an unknown format, missing or unknown keys, or values the network cannot have.
        """
        given = dict(values)
        form = given.pop("format", None)
        _expect("format", form == CHECKPOINT_FORMAT, form, repr(CHECKPOINT_FORMAT))
        known = {field.name for field in fields(cls)}
        needed = {field.name for field in fields(cls) if field.default is not None}
        missing, unknown = sorted(needed - given.keys()), sorted(given.keys() - known)
        _expect("configuration keys", not missing, f"none of {missing}", "all of them")
        _expect("configuration keys", not unknown, unknown, f"only {sorted(known)}")
        numbers = ("training_level_dbfs", "presence_thresholds")
        for name in ("encoder_channels", "categories", *numbers):
            if name in needed or name in given:
                _expect(name, isinstance(given[name], list), given[name], "a list")
                given[name] = tuple(given[name])
        given["log_epsilon"] = _float(given["log_epsilon"])
        for name in numbers:
            if name in given:
                given[name] = tuple(map(_float, given[name]))
        return cls(**given)

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """As `from_dict`, from JSON text."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"model configuration: got text that is not JSON ({error}), expected an object. "
                "Write the checkpoint again with a JSON sgn_config."
            ) from error
        _expect("model configuration", isinstance(values, dict), type(values).__name__, "an object")
        return cls.from_dict(values)


def config_of_checkpoint(path: Path, header: Header) -> ModelConfig | None:
    """The configuration that a checkpoint carries in its header; None where it carries none.

    Raises
    ------
    CheckpointError
        If it is none that a network can have; ``path`` is named.
    """
    text = header.metadata.get(CHECKPOINT_CONFIG_KEY)
    try:
        return None if text is None else ModelConfig.from_json(text)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


_ADVICE: Final = frozenset({"training_level_dbfs", "presence_thresholds"})
"""What is said of a model, and changes nothing that it computes."""


def differences(one: ModelConfig, other: ModelConfig) -> dict[str, tuple[Any, Any]]:
    """Fields in which two configurations differ, with both values."""
    a, b = asdict(one), asdict(other)
    return {name: (a[name], b[name]) for name in a if a[name] != b[name]}


def expect_same_model(where: object, got: ModelConfig, expected: ModelConfig) -> None:
    """Refuse to compare models whose windows or categories are not the same.

    Raises
    ------
    ConfigError
        Naming the fields.
    """
    found = {n: pair for n, pair in differences(got, expected).items() if n not in _ADVICE}
    if found:
        told = "; ".join(f"{name} {a!r:.80} for {b!r:.80}" for name, (a, b) in found.items())
        raise ConfigError(
            f"{where}: got {told}, expected the same model. "
            "Compare what has the same configuration."
        )
