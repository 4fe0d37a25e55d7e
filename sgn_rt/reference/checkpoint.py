"""Checkpoints: files of trained weights to the reference network and back."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from sgn_rt.errors import CheckpointError
from sgn_rt.model.contract import CHECKPOINT_CONFIG_KEY
from sgn_rt.model.safetensors_file import (
    Header,
    TensorEntry,
    header_of,
    read_bytes,
    read_header,
    write,
)
from sgn_rt.model.sgn_config import SgnConfig, config_of_checkpoint
from sgn_rt.reference.key_map import KeyMap, read_key_map
from sgn_rt.reference.model import Sgn

_TORCH_TYPES: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
_OWN_TYPES: Final = (torch.float16, torch.float32)
_PICKLE_SUFFIXES: Final = (".pt", ".pth")
_COUNTER: Final = ".num_batches_tracked"
"""A counter of training steps that BatchNorm keeps; no part of the network's function."""


def load(path: str | Path, key_map: str | Path | None = None) -> Sgn:
    """Load a trained network.

    Parameters
    ----------
    path
        A ``.safetensors`` file; with a key map that has a configuration, also ``.pt`` or ``.pth``.
    key_map
        TOML file that renames the tensors of other training code (`sgn_rt.reference.key_map`).

    Returns
    -------
    Sgn
        In float32 and evaluation mode; nothing requires a gradient.

    Raises
    ------
    CheckpointError
        For a file that cannot be read or has no configuration, and, all in one message, for every
        tensor that is missing, unexpected, mis-shaped or not finite.
    """
    config, tensors = read_checkpoint(path, key_map)
    return model_from_tensors(config, tensors)


def load_content(content: bytes, path: Path) -> Sgn:
    """As `load`, of the content of a ``.safetensors`` file: what was verified is what is loaded.

    Parameters
    ----------
    content
        All of the file.
    path
        Its name for messages.
    """
    header = header_of(io.BytesIO(content), path)
    config = _expect_config(config_of_checkpoint(path, header), path)
    view = memoryview(content)
    tensors = _tensors(path, header, lambda e: view[e.offset : e.offset + e.nbytes], foreign=False)
    return model_from_tensors(config, tensors)


def read_checkpoint(
    path: str | Path, key_map: str | Path | None = None
) -> tuple[SgnConfig, dict[str, Tensor]]:
    """Configuration and tensors of a checkpoint, as stored and under this package's names.

    Shapes are those of the parameters of `Sgn`. Parameters and errors are those of `load`; the
    tensors are not yet compared with the configuration.
    """
    path = Path(path)
    mapping = None if key_map is None else read_key_map(Path(key_map))
    if path.suffix in _PICKLE_SUFFIXES:
        if mapping is None:
            raise CheckpointError(
                f"{path}: got a {path.suffix} file alone, expected a key map beside it, as such "
                "files carry no configuration. Give a key map with a [config] table."
            )
        config, tensors = None, _read_pickle(path, mapping)
    else:
        config, tensors = _read_safetensors(path, foreign=mapping is not None)
    if mapping is not None:
        tensors = {new: tensors[old] for old, new in mapping.apply(tensors).items()}
        if config and mapping.config and config != mapping.config:
            raise CheckpointError(
                f"{path}: got one configuration in the file and another in the key map, expected "
                "one. Remove [config] from the key map, or correct it."
            )
        config = config or mapping.config
    config = _expect_config(config, path)
    return config, {name: t for name, t in tensors.items() if not name.endswith(_COUNTER)}


def _expect_config(config: SgnConfig | None, path: Path) -> SgnConfig:
    if config is None:
        raise CheckpointError(
            f"{path}: got no metadata {CHECKPOINT_CONFIG_KEY!r}, expected the model's "
            "configuration there. Save the checkpoint with it, or give a key map with [config]."
        )
    return config


def _read_safetensors(path: Path, *, foreign: bool) -> tuple[SgnConfig | None, dict[str, Tensor]]:
    header = read_header(path)
    config = config_of_checkpoint(path, header)
    return config, _tensors(path, header, lambda entry: read_bytes(path, entry), foreign=foreign)


def _tensors(
    path: Path, header: Header, read: Callable[[TensorEntry], bytes | memoryview], *, foreign: bool
) -> dict[str, Tensor]:
    allowed = {
        name: dtype for name, dtype in _TORCH_TYPES.items() if foreign or dtype in _OWN_TYPES
    }
    entries = {n: entry for n, entry in header.tensors.items() if not n.endswith(_COUNTER)}
    wrong = {name: entry.dtype for name, entry in entries.items() if entry.dtype not in allowed}
    if wrong:
        raise CheckpointError(
            f"{path}: got tensors of types {wrong}, expected {sorted(allowed)}. Convert them, "
            "or leave out what is no weight of the network."
        )
    tensors = {}
    for name, entry in entries.items():
        raw = bytearray(read(entry))  # writable, as torch.frombuffer wants it
        flat = torch.frombuffer(raw, dtype=allowed[entry.dtype]) if raw else torch.empty(0)
        tensors[name] = flat.reshape(entry.shape)
    return tensors


def _read_pickle(path: Path, mapping: KeyMap) -> dict[str, Tensor]:
    """Tensors of a ``.pt`` file, through PyTorch's restricted unpickler only."""
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[:1]
        raise CheckpointError(
            f"{path}: got a file that PyTorch cannot load as plain weights ({reason}), expected a "
            "state_dict. Save model.state_dict(), not the model."
        ) from error
    for position, key in enumerate(mapping.state_dict, start=1):
        if not isinstance(found, dict) or key not in found:
            where = ".".join(mapping.state_dict[:position])
            keys = sorted(map(str, found))[:20] if isinstance(found, dict) else type(found).__name__
            raise CheckpointError(
                f"{path}: got {keys} at the top of {where!r}, expected the key {key!r}. "
                "Correct state_dict in the key map."
            )
        found = found[key]
    good = isinstance(found, dict) and found and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items()
    )  # fmt: skip
    if not good:
        keys = sorted(map(str, found))[:20] if isinstance(found, dict) else type(found).__name__
        raise CheckpointError(
            f"{path}: got {keys}, expected a dict of tensors only. "
            "Name the nested dict that holds them as state_dict in the key map."
        )
    return dict(found)


def expected_tensors(config: SgnConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a checkpoint with this configuration."""
    with torch.device("meta"):
        state = Sgn(config).state_dict()
    return {n: tuple(t.shape) for n, t in state.items() if not n.endswith(_COUNTER)}


def model_from_tensors(config: SgnConfig, tensors: Mapping[str, Tensor]) -> Sgn:
    """Build the network from its tensors (float16 or float32); returns and raises as `load`."""
    expected = expected_tensors(config)
    problems = [f"missing {name} {list(expected[name])}" for name in expected.keys() - tensors]
    problems += [f"unexpected {name}" for name in tensors.keys() - expected]
    state = {}
    for name in expected.keys() & tensors:
        tensor = tensors[name]
        if tuple(tensor.shape) != expected[name]:
            problems.append(f"{name} {list(tensor.shape)}, not {list(expected[name])}")
            continue
        state[name] = tensor.float().clone()
        if not bool(state[name].isfinite().all()):
            problems.append(f"{name} holds a value that is not finite")
        elif name.endswith(".running_var") and bool((state[name] < 0).any()):
            problems.append(f"{name} holds a negative variance")
    if problems:
        raise CheckpointError(
            f"tensors: got {len(problems)} that do not fit the configuration "
            f"({'; '.join(sorted(problems))}), expected {len(expected)} that do. Correct "
            "sgn_config, or rename the tensors of other training code with a key map."
        )
    # The meta device initialises nothing: loading is fast, and the caller's random state stays.
    with torch.device("meta"):
        model = Sgn(config)
    counters = {n: torch.tensor(0) for n in model.state_dict() if n.endswith(_COUNTER)}
    model.load_state_dict(state | counters, assign=True)
    return model.eval().requires_grad_(requires_grad=False)


def save_checkpoint(
    model_or_tensors: Sgn | Mapping[str, Tensor],
    config: SgnConfig,
    path: str | Path,
    *,
    half: bool = False,
) -> None:
    """Write a checkpoint, the same bytes for the same weights, in the precision that they have.

    Parameters
    ----------
    model_or_tensors
        The network, or its tensors by name.
    config
        Stored as metadata.
    path
        File to write, ``.safetensors``.
    half
        Round to float16, but for the variances of BatchNorm, which may exceed its range. Default:
        float16 stays float16 and float32 stays float32; other floats become float32, in which the
        network computes.

    Raises
    ------
    CheckpointError
        If the tensors do not fit the configuration, or leave float16's range.
    """
    given = model_or_tensors.state_dict() if isinstance(model_or_tensors, Sgn) else model_or_tensors
    given = {name: tensor for name, tensor in given.items() if not name.endswith(_COUNTER)}
    model_from_tensors(config, given)
    arrays = {}
    for name, tensor in given.items():
        narrow = tensor.dtype == torch.float16 or (half and not name.endswith(".running_var"))
        with np.errstate(over="ignore"):  # told below, with the tensor's name
            array = tensor.float().numpy().astype(np.float16 if narrow else np.float32)
        if not np.isfinite(array).all():
            raise CheckpointError(
                f"{name}: got values beyond float16's range, expected at most 65504. "
                "Save with half=False."
            )
        arrays[name] = array
    write(Path(path), arrays, {CHECKPOINT_CONFIG_KEY: json.dumps(config.to_dict())})
