"""Golden windows: real input with what the reference makes of it; parity needs no PyTorch then."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.errors import BundleError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.sgn_config import as_sgn

_MOST_NUMBERS: Final = 1 << 26
"""Of all arrays together: 256 MB. Probes of the published model are 1.3 million."""

_OPTIONAL: Final = ("shares", "assignment")
"""Arrays that probes may be without: older ones, and those of graphs that do not show them."""

_Form: TypeAlias = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and type of an array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """W windows with the reference's outputs for S categories each.

    Attributes
    ----------
    mixture
        shape = (W, N), float32.
    categories
        Positions of the chosen categories, shape = (W, S), int64.
    log_magnitude
        The reference's network input, shape = (W, L, T), float32.
    masks
        Reference masks on the model's axis, shape = (W, S, L, T), float32; complex ones are (W, S,
        2, L, T).
    sources
        Reference sources, shape = (W, S, N), float32.
    presence
        Reference presence of every category, shape = (W, C), float32.
    stems
        What was mixed, as far as known, shape = (W, S, N), float32; zeros where not.
    stem_known
        Which stems are known, shape = (W, S), bool.
    shares
        Of every category's source in the mixture, its projection on it, shape = (W, C), float32;
        None in bundles from before they were kept.
    assignment
        Of every category to every feature token (MODEL, step 6), shape = (W, C, P), float32; None
        where no graph of the bundle gives it.
    """

    mixture: Float
    categories: NDArray[np.int64]
    log_magnitude: Float
    masks: Float
    sources: Float
    presence: Float
    stems: Float
    stem_known: NDArray[np.bool_]
    shares: Float | None = None
    assignment: Float | None = None

    @property
    def windows(self) -> int:
        """Number of windows (W)."""
        return len(self.mixture)

    def check(self, config: ModelConfig, where: Path) -> None:
        """Compare every array's shape and type with the model's, and the categories' range.

        Parameters
        ----------
        config
            The model's.
        where
            A name for messages.

        Raises
        ------
        BundleError
            If one does not fit.
        """
        arrays = self._arrays()
        _expect_fit({name: (a.shape, a.dtype) for name, a in arrays.items()}, config, where)
        if self.categories.min() < 0 or self.categories.max() >= len(config.categories):
            raise BundleError(
                f"{where}: categories: got {self.categories.tolist()}, expected positions below "
                f"{len(config.categories)}. Export the bundle again."
            )

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: array for name, array in arrays.items() if array is not None}

    def to_bytes(self) -> bytes:
        """As an .npz file; the same bytes for the same arrays."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **self._arrays())
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, config: ModelConfig, where: Path) -> Probe:
        """From an .npz file; nothing in it is unpickled, nor unpacked before its size is known.

        Parameters
        ----------
        content
            All of the file.
        config
            Of the model that it has to fit.
        where
            Its name for messages.

        Raises
        ------
        BundleError
            If it is not the file `to_bytes` writes, or does not fit the model.
        """
        names = [field.name for field in fields(cls)]
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                there = set(archive.namelist())
                names = [n for n in names if n not in _OPTIONAL or f"{n}.npy" in there]
                _expect_fit({name: _header(archive, name) for name in names}, config, where)
                probe = cls(**{name: _read(archive, name) for name in names})
        except BundleError:
            raise
        except Exception as error:  # NumPy, zipfile, zlib, tokenize: each has its own
            raise BundleError(
                f"{where}: got a file that does not read as probes ({error!s:.200}), expected the "
                f"arrays {', '.join(names)}. Export the bundle again."
            ) from error
        probe.check(config, where)
        return probe


def _expect_fit(found: Mapping[str, _Form], config: ModelConfig, where: Path) -> None:
    """Shapes and types are the model's, and no more memory than probes take."""
    form, _ = found["categories"]
    if len(form) != 2:
        raise BundleError(
            f"{where}: categories: got shape {form}, expected two axes, windows and categories. "
            "Export the bundle again."
        )
    w, s = form
    n, plane = config.window_samples, (config.frequency_bins, config.frames)
    shapes: dict[str, tuple[int, ...]] = {
        "mixture": (w, n),
        "categories": (w, s),
        "log_magnitude": (w, *plane),
        "masks": (w, s, *config.mask_shape),
        "sources": (w, s, n),
        "presence": (w, len(config.categories)),
        "stems": (w, s, n),
        "stem_known": (w, s),
        "shares": (w, len(config.categories)),
    }
    if "assignment" in found:
        tokens = as_sgn(config, f"{where}: assignment").tokens
        shapes["assignment"] = (w, len(config.categories), tokens)
    shapes = {name: form for name, form in shapes.items() if name in found or name not in _OPTIONAL}
    types = {"categories": np.int64, "stem_known": np.bool_}
    for name, shape in shapes.items():
        (got, got_type), dtype = found[name], np.dtype(types.get(name, np.float32))
        if got != shape or got_type != dtype or 0 in shape:
            raise BundleError(
                f"{where}: {name}: got {got_type} of shape {got}, expected {dtype} of shape "
                f"{shape}, none of it 0. Export the bundle again."
            )
    numbers = sum(map(math.prod, shapes.values()))
    if numbers > _MOST_NUMBERS:
        raise BundleError(
            f"{where}: got {w} windows of {s} categories, {numbers} numbers, expected at most "
            f"{_MOST_NUMBERS}. Export the bundle again, with fewer."
        )


def _header(archive: zipfile.ZipFile, name: str) -> _Form:
    """What an array says of itself; of its content nothing is unpacked."""
    with _member(archive, name) as file:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise ValueError(f"{name} holds pickles")
        return shape, dtype


def _read(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with _member(archive, name) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} compressed by method {info.compress_type}")
    return archive.open(info)
