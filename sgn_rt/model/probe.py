"""Golden windows: real input with what the reference makes of it; parity needs no PyTorch then."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.errors import BundleError
from sgn_rt.model.config import ModelConfig


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
        Reference masks on the log axis, shape = (W, S, L, T), float32.
    sources
        Reference sources, shape = (W, S, N), float32.
    presence
        Reference presence of every category, shape = (W, C), float32.
    stems
        What was mixed, as far as known, shape = (W, S, N), float32; zeros where not.
    stem_known
        Which stems are known, shape = (W, S), bool.
    """

    mixture: Float
    categories: NDArray[np.int64]
    log_magnitude: Float
    masks: Float
    sources: Float
    presence: Float
    stems: Float
    stem_known: NDArray[np.bool_]

    @property
    def windows(self) -> int:
        """Number of windows (W)."""
        return len(self.mixture)

    def check(self, config: ModelConfig, where: Path) -> None:
        """Compare every array's shape with the model's.

        Raises
        ------
        BundleError
            If one does not fit.
        """
        if self.categories.ndim != 2:
            raise BundleError(
                f"{where}: categories: got shape {self.categories.shape}, expected two axes, "
                "windows and categories. Export the bundle again."
            )
        w, s = self.categories.shape
        n, plane = config.window_samples, (config.frequency_bins, config.frames)
        shapes: dict[str, tuple[int, ...]] = {
            "mixture": (w, n),
            "categories": (w, s),
            "log_magnitude": (w, *plane),
            "masks": (w, s, *plane),
            "sources": (w, s, n),
            "presence": (w, len(config.categories)),
            "stems": (w, s, n),
            "stem_known": (w, s),
        }
        types = {"categories": np.int64, "stem_known": np.bool_}
        for name, shape in shapes.items():
            array, dtype = getattr(self, name), np.dtype(types.get(name, np.float32))
            if array.shape != shape or array.dtype != dtype or 0 in shape:
                raise BundleError(
                    f"{where}: {name}: got {array.dtype} of shape {array.shape}, expected {dtype} "
                    f"of shape {shape}, none of it 0. Export the bundle again."
                )
        if self.categories.min() < 0 or self.categories.max() >= len(config.categories):
            raise BundleError(
                f"{where}: categories: got {self.categories.tolist()}, expected positions below "
                f"{len(config.categories)}. Export the bundle again."
            )

    def to_bytes(self) -> bytes:
        """As an .npz file; the same bytes for the same arrays."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, allow_pickle=False, **{f.name: getattr(self, f.name) for f in fields(self)}
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, config: ModelConfig, where: Path) -> Probe:
        """From an .npz file; nothing in it is unpickled.

        Raises
        ------
        BundleError
            If it is not the file `to_bytes` writes, or does not fit the model.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                probe = cls(**{field.name: arrays[field.name] for field in fields(cls)})
        except (
            # What NumPy, zipfile and zlib raise for what is no .npz, not one, or half of one.
            *(KeyError, ValueError, OSError, EOFError, TypeError, AttributeError, RuntimeError),
            *(zipfile.BadZipFile, zlib.error),
        ) as error:
            raise BundleError(
                f"{where}: got a file that does not read as probes ({error}), expected the arrays "
                f"{', '.join(field.name for field in fields(cls))}. Export the bundle again."
            ) from error
        probe.check(config, where)
        return probe
