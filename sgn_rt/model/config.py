"""The facts of one trained model, validated once; every size in the package comes from here.

`ModelConfig` is what the package needs to know of any network that makes masks. That of SGN adds
the sizes of its layers (`sgn_rt.model.sgn_config`).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Final, Literal, Self

from sgn_rt.errors import ConfigError
from sgn_rt.model.contract import MODULE_FORMAT

_MAX_CATEGORIES = 4096
_MAX_SIZE = 1 << 24
"""No size of a real model comes near; keeps arithmetic on hostile configs bounded."""


def expect(what: str, ok: bool, got: object, expected: str) -> None:
    """Refuse what a configuration cannot say."""
    if not ok:
        raise ConfigError(
            f"{what}: got {got!r:.200}, expected {expected}. Correct the model's configuration."
        )


def expect_integer(what: str, value: object, minimum: int = 1) -> None:
    """Refuse what is no size."""
    ok = isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= _MAX_SIZE
    expect(what, ok, value, f"an integer from {minimum} to {_MAX_SIZE}")


def _expect_names(names: tuple[object, ...]) -> None:
    """Categories: names of files and lines on terminals, and all different."""
    count, most = len(names), f"one or more names, up to {_MAX_CATEGORIES}"
    expect("categories", 0 < count <= _MAX_CATEGORIES, count, most)
    wrong = [n for n in names if not (isinstance(n, str) and n and n.isprintable())]
    expect("categories", not wrong, wrong, "non-empty names of printable characters")
    repeated = sorted(str(name) for name, times in Counter(names).items() if times > 1)
    expect("categories", not repeated, repeated, "every name once")


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


def _is_window(value: object, n_fft: int) -> bool:
    if not isinstance(value, tuple):
        return isinstance(value, str) and value in WINDOWS
    numbers = all(isinstance(each, float) and math.isfinite(each) for each in value)
    return len(value) == n_fft and numbers


WINDOWS: Final = ("hann", "hamming")
"""STFT windows by their names, periodic."""
FrequencyAxis = Literal["linear", "log"]
Input = Literal["magnitude", "log_magnitude"]
MaskKind = Literal["ratio", "complex"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Configuration of a network that makes masks: STFT, axes, categories.

    Attributes
    ----------
    FORMAT
        What such a configuration is called where it is stored.
    sample_rate
        Hz.
    n_fft, hop_length
        STFT frame length (even) and step, in samples; centred, reflect-padded, one-sided.
    window
        One of `WINDOWS`, or ``n_fft`` numbers.
    window_samples
        Samples of one network window (N).
    frequency_axis
        Of the network's input and masks: the STFT's own, or the log axis (MODEL, step 2).
    frequency_bins
        Bins of that axis (L).
    frames
        STFT frames of a window (T); ``floor(N / hop_length) + 1``.
    input
        What the network is given: the magnitude, or its natural logarithm.
    log_epsilon
        Added to the magnitude before the logarithm; None where there is none.
    mask
        ``ratio``: between 0 and 1; ``complex``: real and imaginary part of a factor.
    has_presence
        Whether the network says what is there; where it does not, all categories count as present.
    embedding_dim
        Numbers that the network gives of each category; None where it gives none.
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
        For any value that a network cannot have.
    """

    FORMAT: ClassVar[str] = MODULE_FORMAT

    sample_rate: int
    n_fft: int
    hop_length: int
    window: str | tuple[float, ...] = "hann"
    window_samples: int
    frequency_axis: FrequencyAxis = "linear"
    frequency_bins: int
    frames: int
    input: Input = "magnitude"
    log_epsilon: float | None = None
    mask: MaskKind = "ratio"
    has_presence: bool = False
    embedding_dim: int | None = None
    categories: tuple[str, ...]
    training_level_dbfs: tuple[float, float] | None = None
    presence_thresholds: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in (
            "sample_rate", "n_fft", "hop_length", "window_samples", "frequency_bins", "frames",
        ):  # fmt: skip
            expect_integer(name, getattr(self, name))
        expect("n_fft", self.n_fft % 2 == 0 and self.n_fft >= 4, self.n_fft, "an even number")
        expect("window", _is_window(self.window, self.n_fft), self.window,
               f"{' or '.join(map(repr, WINDOWS))}, or {self.n_fft} finite numbers")  # fmt: skip
        expect(
            "hop_length", self.hop_length <= self.n_fft // 2, self.hop_length,
            f"at most n_fft / 2 = {self.n_fft // 2}, or the inverse STFT has gaps",
        )  # fmt: skip
        expect(
            "window_samples", self.window_samples > self.n_fft // 2, self.window_samples,
            f"more than n_fft / 2 = {self.n_fft // 2}, as reflect padding needs",
        )  # fmt: skip
        frames = self.window_samples // self.hop_length + 1
        expect(
            "frames", self.frames == frames, self.frames,
            f"floor(window_samples / hop_length) + 1 = {frames}",
        )  # fmt: skip
        self._expect_axes()
        names = self.categories
        _expect_names(names)
        trained = self.training_level_dbfs
        expect("training_level_dbfs", trained is None or _is_range(trained), trained,
               "two finite floats, low < high, in dBFS")  # fmt: skip
        thresholds = self.presence_thresholds
        ok = thresholds is None or _are_probabilities(thresholds, len(names))
        expect("presence_thresholds", ok, thresholds,
               f"{len(names)} numbers between 0 and 1, one for each category")  # fmt: skip
        expect("presence_thresholds", thresholds is None or self.has_presence, thresholds,
               "none, as the network does not say what is present")  # fmt: skip

    def _expect_axes(self) -> None:
        """What goes into the network, and what comes out of it."""
        for name, known in (
            ("frequency_axis", ("linear", "log")),
            ("input", ("magnitude", "log_magnitude")),
            ("mask", ("ratio", "complex")),
            ("has_presence", (True, False)),
        ):
            value = getattr(self, name)
            said = any(type(value) is type(each) and value == each for each in known)
            expect(name, said, value, " or ".join(map(repr, known)))
        linear = self.frequency_axis == "linear"
        expect("frequency_bins", not linear or self.frequency_bins == self.bins,
               self.frequency_bins, f"n_fft / 2 + 1 = {self.bins} on the linear axis")  # fmt: skip
        expect("frequency_bins", self.frequency_bins > 1, self.frequency_bins, "at least 2")
        epsilon = self.log_epsilon
        if self.input == "magnitude":
            expect("log_epsilon", epsilon is None, epsilon,
                   "none, as there is no logarithm in a magnitude")  # fmt: skip
        else:
            expect("log_epsilon", isinstance(epsilon, float) and 0 < epsilon < 1, epsilon,
                   "a number between 0 and 1")  # fmt: skip
        if self.embedding_dim is not None:
            expect_integer("embedding_dim", self.embedding_dim)

    @property
    def is_whole(self) -> bool:
        """Whether the network makes masks in one go, of the categories that it is given.

        SGN comes apart: it runs once for a window, and masks are made of what it leaves.
        """
        return True

    @property
    def maps(self) -> int:
        """Maps of the size of the axes that an engine keeps of a window, to make sources of."""
        return len(self.categories) * (2 if self.mask == "complex" else 1)

    @property
    def bins(self) -> int:
        """Bins of the one-sided spectrum (F = n_fft / 2 + 1)."""
        return self.n_fft // 2 + 1

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """Of one mask: (L, T), or (2, L, T) of a complex one."""
        plane = (self.frequency_bins, self.frames)
        return (2, *plane) if self.mask == "complex" else plane

    @property
    def window_s(self) -> float:
        """Length of a network window, seconds."""
        return self.window_samples / self.sample_rate

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """What is written of a configuration, in this order."""
        return tuple(field.name for field in fields(cls) if field.init)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON types, ``format`` first; what nobody says is left out."""
        values = {"format": self.FORMAT} | {name: getattr(self, name) for name in self.keys()}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Validate a decoded configuration: that of a module, or an ``sgn_config``.

        Raises
        ------
        ConfigError
            For an unknown format, missing or unknown keys, or values the network cannot have.
        """
        given = dict(values)
        form = given.pop("format", None)
        formats = {name: c for name, c in sorted(_CLASSES.items()) if issubclass(c, cls)}
        known_form = isinstance(form, str) and form in formats
        expect("format", known_form, form, " or ".join(map(repr, formats)))
        return formats[str(form)]._checked(given)

    @classmethod
    def _checked(cls, given: dict[str, Any]) -> Self:
        known = set(cls.keys())
        optional = {field.name for field in fields(cls) if field.default is None}
        missing, unknown = sorted(known - optional - given.keys()), sorted(given.keys() - known)
        expect("configuration keys", not missing, f"none of {missing}", "all of them")
        expect("configuration keys", not unknown, unknown, f"only {sorted(known)}")
        numbers = ("training_level_dbfs", "presence_thresholds")
        for name in ("encoder_channels", "categories", *numbers):
            if name in given:
                expect(name, isinstance(given[name], list), given[name], "a list")
                given[name] = tuple(given[name])
        if isinstance(given["window"], list):
            given["window"] = tuple(map(_float, given["window"]))
        if "log_epsilon" in given:
            given["log_epsilon"] = _float(given["log_epsilon"])
        for name in numbers:
            if name in given:
                given[name] = tuple(map(_float, given[name]))
        return cls(**given)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """As `from_dict`, from JSON text."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"model configuration: got text that is not JSON ({error}), expected an object. "
                "Write the checkpoint again with a JSON sgn_config."
            ) from error
        expect("model configuration", isinstance(values, dict), type(values).__name__, "an object")
        return cls.from_dict(values)


_CLASSES: Final[dict[str, type[ModelConfig]]] = {}


def register(config: type[ModelConfig]) -> None:
    """Have `ModelConfig.from_dict` know a class by its format."""
    _CLASSES[config.FORMAT] = config


register(ModelConfig)

_ADVICE: Final = frozenset({"training_level_dbfs", "presence_thresholds"})
"""What is said of a model, and changes nothing that it computes."""


def differences(one: ModelConfig, other: ModelConfig) -> dict[str, tuple[Any, Any]]:
    """Fields in which two configurations differ, with both values."""
    a, b = asdict(one), asdict(other)
    pairs = {name: (a.get(name), b.get(name)) for name in a | b}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


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
