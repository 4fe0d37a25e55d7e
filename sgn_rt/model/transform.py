"""Signal processing around the network: STFT, log-frequency warp, masked inverse STFT.

Spectra are [bins, frames]: with the frames contiguous, SciPy's FFT transforms a vector of frames at
a time, framing and overlap-add are sums of whole rows, and the two-tap warps read whole rows, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import LOG_AXIS_BASE
from sgn_rt.model.prime_factor import Frames, ProductsInverse, prime_factor


def _warp_positions(bins: int, log_bins: int) -> NDArray[np.float64]:
    y = np.linspace(-1.0, 1.0, log_bins)
    s = (LOG_AXIS_BASE ** ((y + 1.0) / 2.0) - 11.0) / 10.0
    return np.asarray((np.clip(s, -1.0, 1.0) + 1.0) / 2.0 * (bins - 1))


def _unwarp_positions(bins: int, log_bins: int) -> NDArray[np.float64]:
    y = np.linspace(-1.0, 1.0, bins)
    s = np.log(10.0 * y + 11.0) / np.log(LOG_AXIS_BASE) * 2.0 - 1.0
    return np.asarray((np.clip(s, -1.0, 1.0) + 1.0) / 2.0 * (log_bins - 1))


class RowInterpolation:
    """Linear interpolation between neighbouring rows.

    Parameters
    ----------
    positions
        Where to sample, in rows, float64, in [0, rows - 1].
    rows
        Rows of the input.
    """

    def __init__(self, positions: NDArray[np.float64], rows: int) -> None:
        self.rows, self._positions = rows, positions
        self.low = np.clip(np.floor(positions).astype(np.int64), 0, max(rows - 2, 0))
        self._next = np.minimum(self.low + 1, rows - 1)
        high = positions - self.low
        self.low_weight = (1.0 - high).astype(np.float32)[:, None]
        self.high_weight = high.astype(np.float32)[:, None]

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """``x`` [rows, columns] to [positions, columns]."""
        # Clipping changes no place, and spares a look whether all of them are there.
        out: NDArray[np.float32] = np.take(x, self.low, axis=0, mode="clip")
        out *= self.low_weight
        high = np.take(x, self._next, axis=0, mode="clip")
        high *= self.high_weight
        out += high
        return out

    def at(self, places: NDArray[np.integer]) -> RowInterpolation:
        """Some of the positions, by their number, in any order."""
        return RowInterpolation(self._positions[places], self.rows)

    def matrix(self) -> NDArray[np.float32]:
        """The same as a dense matrix, shape = (positions, rows)."""
        matrix = np.zeros((len(self.low), self.rows), np.float32)
        index = np.arange(len(self.low))
        matrix[index, self.low] = self.low_weight[:, 0]
        matrix[index, self.low + 1] = self.high_weight[:, 0]
        return matrix


def log_warp(bins: int, log_bins: int) -> RowInterpolation:
    """From linear frequency (``bins``) to the log axis (MODEL, step 2)."""
    return RowInterpolation(_warp_positions(bins, log_bins), bins)


def log_unwarp(bins: int, log_bins: int) -> RowInterpolation:
    """From the log axis to linear frequency (``bins``) (MODEL, step 10)."""
    return RowInterpolation(_unwarp_positions(bins, log_bins), log_bins)


def log_warp_matrix(bins: int, log_bins: int) -> NDArray[np.float32]:
    """`log_warp` as a matrix, shape = (log_bins, bins); rows sum to 1."""
    return log_warp(bins, log_bins).matrix()


def log_unwarp_matrix(bins: int, log_bins: int) -> NDArray[np.float32]:
    """`log_unwarp` as a matrix, shape = (bins, log_bins); rows sum to 1."""
    return log_unwarp(bins, log_bins).matrix()


def hann(n_fft: int) -> NDArray[np.float64]:
    """Periodic Hann window, shape = (n_fft,)."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_fft) / n_fft)


def window_of(config: ModelConfig) -> NDArray[np.float64]:
    """The STFT window of a model, shape = (n_fft,)."""
    if isinstance(config.window, tuple):
        return np.array(config.window)
    rest = {"hann": 0.5, "hamming": 0.46}[config.window]
    return (1.0 - rest) - rest * np.cos(2.0 * np.pi * np.arange(config.n_fft) / config.n_fft)


def warps(config: ModelConfig) -> tuple[RowInterpolation, RowInterpolation] | None:
    """From the STFT's frequencies to the model's axis, and back; None where they are the same."""
    if config.frequency_axis == "linear":
        return None
    bins, log_bins = config.bins, config.frequency_bins
    return log_warp(bins, log_bins), log_unwarp(bins, log_bins)


class Transform:
    """STFT, network input and masked inverse STFT of windows of one model. Immutable; thread-safe.

    Parameters
    ----------
    config
        The model's configuration; sizes below are its N, F, T, L.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        window = window_of(config)
        self._window = window.astype(np.float32)[:, None]
        pair = warps(config)
        self._warp = None if pair is None else pair[0]
        self._unwarp = None if pair is None else pair[1]
        prime = prime_factor(config.n_fft)
        self._inverse = None
        if prime is not None and self._unwarp is not None and config.mask == "ratio":
            self._inverse = ProductsInverse(config.n_fft, prime, window)
            self._arranged_unwarp = self._unwarp.at(self._inverse.frequencies)
        # A frame is cut into blocks of one hop: block r of frame t is block t + r of the signal.
        self._blocks = -(-config.n_fft // config.hop_length)
        self._columns = config.frames - 1 + self._blocks

    def _frame_blocks(self) -> list[tuple[int, slice, slice, slice]]:
        hop, n_fft, frames = self.config.hop_length, self.config.n_fft, self.config.frames
        parts = []
        for r in range(self._blocks):
            rows = slice(r * hop, min(n_fft, (r + 1) * hop))
            parts.append((r, rows, slice(0, rows.stop - rows.start), slice(r, r + frames)))
        return parts

    @cached_property
    def _synthesis_scale(self) -> NDArray[np.float32]:
        """Reciprocal of the summed squared window, shape = (hop, columns)."""
        window = window_of(self.config)[:, None]
        total = np.zeros((self.config.hop_length, self._columns))
        for _, rows, offsets, columns in self._frame_blocks():
            total[offsets, columns] += window[rows] ** 2
        # Samples that no frame reaches lie outside of the window and are cut off.
        return (1.0 / np.where(total > 1e-11, total, 1.0)).astype(np.float32)

    def stft(self, mixture: NDArray[np.float32]) -> NDArray[np.complex64]:
        """Spectrum of one window, shape = (F, T), complex64, from ``mixture`` [N], float32.

        Source: MODEL, step 1.
        """
        config = self.config
        padded = np.zeros(self._columns * config.hop_length, np.float32)
        reflected = self._padded(mixture)[: len(padded)]
        padded[: len(reflected)] = reflected
        blocks = np.ascontiguousarray(padded.reshape(self._columns, config.hop_length).T)
        frames = np.empty((config.n_fft, config.frames), np.float32)
        for _, rows, offsets, columns in self._frame_blocks():
            np.multiply(blocks[offsets, columns], self._window[rows], out=frames[rows])
        spectrum: NDArray[np.complex64] = scipy.fft.rfft(frames, axis=0, overwrite_x=True)
        return spectrum

    def _padded(self, mixture: NDArray[np.float32]) -> NDArray[np.float32]:
        """A window with what its first and last frames see beyond it."""
        return np.pad(mixture, self.config.n_fft // 2, mode="reflect")

    def log_magnitude(self, spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Network input, shape = (1, L, T), float32, from ``spectrum`` [F, T] (MODEL, step 2).

        The magnitude itself where the model takes that.
        """
        magnitude: Float = np.abs(spectrum)
        warped = magnitude if self._warp is None else self._warp(magnitude)
        if self.config.log_epsilon is None:
            return warped[None]
        warped += np.float32(self.config.log_epsilon)
        return np.log(warped, out=warped)[None]

    def synthesize(
        self, spectrum: NDArray[np.complex64], mask: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """One source, shape = (N,), float32 (MODEL, steps 10 and 11).

        Parameters
        ----------
        spectrum
            Of the mixture, shape = (F, T), complex64.
        mask
            On the model's axis, shape = (L, T), float32, 0 to 1; a complex one (2, L, T).
        """
        return self.synthesis(spectrum)(mask)

    def synthesis(self, spectrum: NDArray[np.complex64]) -> Callable[[Float], Float]:
        """As `synthesize`, for masks of one mixture: what they have in common is done once.

        What is returned belongs to one thread at a time.
        """
        inverse = self._inverse
        if inverse is None:
            return lambda mask: self._overlap_add([(0, self._frames(spectrum, mask))])
        frames = inverse.of(spectrum)
        return lambda mask: self._overlap_add(self._pieces(inverse.columns, frames, mask))

    def _frames(self, spectrum: NDArray[np.complex64], mask: Float) -> Float:
        masked = spectrum * self._factor(mask)
        frames: Float = scipy.fft.irfft(masked, n=self.config.n_fft, axis=0, overwrite_x=True)
        frames *= self._window
        return frames

    def _factor(self, mask: Float) -> NDArray[Any]:
        """A mask on the STFT's frequencies."""
        if self.config.mask == "complex":
            real, imaginary = mask if self._unwarp is None else map(self._unwarp, mask)
            factor: NDArray[np.complex64] = real + np.complex64(1j) * imaginary
            return factor
        return mask if self._unwarp is None else self._unwarp(mask)

    def _pieces(self, size: int, frames: Frames, mask: Float) -> Iterator[tuple[int, Float]]:
        for at in range(0, self.config.frames, size):
            gain = self._arranged_unwarp(np.ascontiguousarray(mask[:, at : at + size]))
            yield at, frames.times(at, gain)

    def _overlap_add(self, pieces: Iterable[tuple[int, Float]]) -> Float:
        """The signal of windowed frames [n_fft, columns], each piece with its first column."""
        config, pad = self.config, self.config.n_fft // 2
        blocks = np.zeros((config.hop_length, self._columns), np.float32)
        for at, frames in pieces:
            for r, rows, offsets, _ in self._frame_blocks():
                first = at + r
                blocks[offsets, first : first + frames.shape[1]] += frames[rows]
        blocks *= self._synthesis_scale
        return blocks.T.reshape(-1)[pad : pad + config.window_samples]
