"""A user's own network: found by ``package.file:factory``, asked for a module and what it needs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import nn

from sgn_rt.errors import ConfigError, ModuleError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.transform import window_of
from sgn_rt.reference.module import ModuleReference
from sgn_rt.reference.user_code import told

NEEDED: Final = ("sample_rate", "n_fft", "hop_length", "window_samples", "categories")
OPTIONAL: Final = (
    *("window", "frequency_axis", "frequency_bins", "input", "log_epsilon", "mask"),
    *("training_level_dbfs", "presence_thresholds"),
)
_LEAST_ENVELOPE: Final = 1e-3
"""Least sum of squared windows, of the largest: below it the inverse STFT is mostly rounding."""


def load_module(spec: str, checkpoint: str | Path) -> ModuleReference:
    """The network that a user's factory makes of a checkpoint, checked.

    Parameters
    ----------
    spec
        ``package.file:factory``; the working folder is looked into first.
    checkpoint
        What the factory is given, as a path.

    Raises
    ------
    ModuleError
        If there is no such factory, it fails, or gives what is against the interface.
    """
    path = Path(checkpoint)
    if not path.is_file():
        raise ModuleError(
            f"{path}: got no such file, expected the checkpoint that {spec} reads. Name another."
        )
    factory = _found(spec)
    name = spec.replace(":", ".")
    with _working_folder():
        try:
            made = factory(path)
        except Exception as error:
            raise ModuleError(
                f"{name}: got {told(error)}, expected (module, dict). Correct the factory, or give "
                "the checkpoint that it reads."
            ) from error
    module, values = _pair(name, made)
    config = _config(name, values)
    return ModuleReference.of(module, config, name)


def _found(spec: str) -> Callable[[Path], Any]:
    name, _, attribute = spec.partition(":")
    if not (name and attribute.isidentifier() and all(p.isidentifier() for p in name.split("."))):
        raise ModuleError(
            f"module: got {spec!r:.200}, expected package.file:factory, as in nets.unet:make. "
            "Name the Python module with dots, then a colon and the function."
        )
    with _working_folder():
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if name == missing or name.startswith(f"{missing}."):
                raise ModuleError(
                    f"module: got {spec}, and there is no Python module {missing!r} in "
                    f"{Path.cwd()} or among the packages, expected one. Go to the folder that "
                    "holds it, or install it."
                ) from error
            raise ModuleError(
                f"{name}: got {told(error)}, expected to import it. Install {missing!r}."
            ) from error
        except Exception as error:
            raise ModuleError(
                f"{name}: got {told(error)}, expected to import it. Correct it."
            ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        there = sorted(
            n for n, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == name
        )  # fmt: skip
        raise ModuleError(
            f"module: got {spec}, and {name} has no function {attribute!r}, expected one of "
            f"{', '.join(there) or 'its functions, of which it has none'}. Name the factory."
        )
    found: Callable[[Path], Any] = factory
    return found


@contextmanager
def _working_folder() -> Iterator[None]:
    """Python's own rule for scripts: what lies in the working folder can be imported."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _pair(name: str, made: Any) -> tuple[nn.Module, Mapping[str, Any]]:
    is_pair = isinstance(made, tuple) and len(made) == 2
    if not (is_pair and isinstance(made[0], nn.Module) and isinstance(made[1], Mapping)):
        got = type(made).__name__
        if isinstance(made, tuple):
            got = f"({', '.join(type(each).__name__ for each in made)})"
        raise ModuleError(
            f"{name}: got {got}, expected (torch.nn.Module, dict). Return the two as a tuple."
        )
    return made[0], made[1]


def _config(name: str, values: Mapping[str, Any]) -> ModelConfig:
    missing = [key for key in NEEDED if key not in values]
    unknown = sorted(str(key) for key in values.keys() - {*NEEDED, *OPTIONAL})
    if missing or unknown:
        got = f"no {', '.join(missing)}" if missing else f"the unknown {', '.join(unknown)}"
        raise ModuleError(
            f"{name}: got a dict with {got}, expected {', '.join(NEEDED)}, and at will "
            f"{', '.join(OPTIONAL)}. Correct the dict."
        )
    given = {key: _plain(value) for key, value in values.items()}
    given = {key: value for key, value in given.items() if value is not None}
    try:
        sizes = [given[key] for key in ("n_fft", "window_samples", "hop_length")]
        if not all(type(size) is int and size > 0 for size in sizes):
            raise ConfigError(
                f"n_fft, window_samples, hop_length: got {sizes}, expected integers above 0. "
                "Correct the model's configuration."
            )
        n_fft, samples, hop = sizes
        if given.get("frequency_axis") != "log":
            given.setdefault("frequency_bins", n_fft // 2 + 1)
        elif "frequency_bins" not in given:
            raise ConfigError(
                "frequency_bins: got none, expected the bins of the log axis. Add them."
            )
        given = {"frequency_axis": "linear", "input": "magnitude", "mask": "ratio"} | given
        config = ModelConfig.from_dict(
            {"format": ModelConfig.FORMAT, "window": "hann", "frames": samples // hop + 1}
            | {"has_presence": True}  # which is seen when it has answered
            | given
        )
        _expect_inverse(config)
    except ConfigError as error:
        raise ModuleError(f"{name}: {error}") from error
    return config


def _plain(value: Any) -> Any:
    """What factories may write for what JSON knows: tuples, arrays, tensors, NumPy's numbers."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [*value] if isinstance(value, tuple) else value


def _expect_inverse(config: ModelConfig) -> None:
    """The windows leave no gap through which the inverse STFT cannot see."""
    squares = window_of(config) ** 2
    rows = -(-config.n_fft // config.hop_length)
    total = np.pad(squares, (0, rows * config.hop_length - config.n_fft)).reshape(rows, -1).sum(0)
    if not total.min() > _LEAST_ENVELOPE * total.max():
        raise ConfigError(
            f"window: got one whose squares, {config.hop_length} samples apart, sum to "
            f"{total.min():.3g} at the least and {total.max():.3g} at the most, expected sums "
            f"of more than {_LEAST_ENVELOPE:g} of the largest, or the inverse STFT has gaps. "
            "Take a shorter hop_length, or another window."
        )
