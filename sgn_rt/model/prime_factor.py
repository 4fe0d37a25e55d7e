"""The inverse FFT of a size with a prime that SciPy's FFT has no pass for, as two matrix products.

The published model has 1022 = 14 x 73 samples in a frame. pocketfft has passes for primes up to 11,
and does 73 term by term. By the prime-factor algorithm (Good and Thomas) the transform of N = A B,
A and B without a common factor, is one of A points and one of B points with no twiddle factors
between them: frequency k goes to (k mod A, k mod B), and sample n comes from (a, b) where
n = a B + b A modulo N. As the signal is real, half of the B-point transform's inputs suffice.
"""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float

LARGEST_PASS = 11
"""Largest prime that pocketfft has a pass of its own for."""
MOST_PRODUCTS = 150
"""Multiplications of a sample up to which products are taken to be faster; 101 of 1022."""
SERIAL = (1 << 19) - 1
"""Multiplications up to which OpenBLAS computes a product in the thread that asks for it. Beyond it
threads of its own would take part, which other callers wait for."""
LANES = 16
"""Columns of a product are a multiple of it, as of the registers of any processor."""


def prime_factor(n: int) -> int | None:
    """The prime of ``n`` that is worth products: once in it, and too large for pocketfft."""
    rest, largest, prime = n, 1, 2
    while rest > 1:
        while rest % prime == 0:
            rest, largest = rest // prime, prime
        prime += 1
    other = n // largest
    worth = 2 * other + largest <= MOST_PRODUCTS and gcd(other, largest) == 1
    return largest if worth and largest > LARGEST_PASS else None


class ProductsInverse:
    """Real signals from the lower half of their spectra. Immutable; thread-safe.

    Parameters
    ----------
    n
        Samples of a signal.
    prime
        From `prime_factor`.
    window
        Each signal is multiplied with it, shape = (n,).

    Attributes
    ----------
    n, other, prime
        Samples, and their two factors A and B.
    frequencies
        What the rows of an arranged spectrum are, shape = (rows,), 0 to n // 2.
    order
        Where each sample lies in what the products give.
    columns
        Signals that are best transformed in one call.
    """

    def __init__(self, n: int, prime: int, window: NDArray[np.floating]) -> None:
        self.n, self.other, self.prime = n, n // prime, prime
        self._half = half = prime // 2 + 1
        place = {(k % self.other, k % prime): k for k in range(n)}
        k = np.array([place[a, b] for a in range(self.other) for b in range(half)])
        self.frequencies = np.minimum(k, n - k)
        # The upper half is the conjugate of the lower.
        self._sign = np.where(k <= n // 2, 1, -1).astype(np.float32)[:, None]
        of_samples = prime * np.arange(self.other)[:, None] + self.other * np.arange(prime)
        self.order = np.argsort(of_samples.ravel() % n)
        self._inner = self._inner_products()
        self._outer = self._outer_products(np.asarray(window, np.float64)[of_samples % n])
        # A power of two, which most models' frames are a multiple of.
        self.columns = max(LANES, 1 << (SERIAL // (2 * prime * half)).bit_length() - 1)

    def _inner_products(self) -> Float:
        """Of A points: from (real and imaginary, A) to (A, real and imaginary)."""
        phase = 2 * np.pi * np.outer(np.arange(self.other), np.arange(self.other)) / self.other
        real = np.stack([np.cos(phase), -np.sin(phase)], axis=1)
        imaginary = np.stack([np.sin(phase), np.cos(phase)], axis=1)
        matrix = np.stack([real, imaginary], axis=1)
        return matrix.reshape(2 * self.other, 2 * self.other).astype(np.float32)

    def _outer_products(self, window: NDArray[np.float64]) -> Float:
        """Of B points, for each of A: from (real and imaginary, half of B) to B, with window."""
        phase = 2 * np.pi * np.outer(np.arange(self.prime), np.arange(self._half)) / self.prime
        weight = np.where(np.arange(self._half) == 0, 1, 2) / self.n
        matrix = np.concatenate([np.cos(phase) * weight, -np.sin(phase) * weight], axis=1)
        return (matrix * window[:, :, None]).astype(np.float32)

    def of(self, spectrum: NDArray[np.complex64]) -> Frames:
        """What makes signals of ``spectrum`` [n // 2 + 1, T], in one thread at a time."""
        rows = spectrum[self.frequencies]
        parts = np.empty((2, *rows.shape), np.float32)
        parts[0] = rows.real
        np.multiply(rows.imag, self._sign, out=parts[1])
        return Frames(self, parts)

    def transform(self, parts: Float, between: Float, out: Float) -> None:
        """``parts`` [2, rows, columns] to ``out`` [A, B, columns], both contiguous."""
        inputs, inner = parts.reshape(2 * self.other, -1), between.reshape(2 * self.other, -1)
        size = max(LANES, SERIAL // len(inputs) ** 2 // LANES * LANES)
        for at in range(0, inputs.shape[1], size):
            span = slice(at, at + size)
            np.matmul(self._inner, inputs[:, span], out=inner[:, span])
        np.matmul(self._outer, inner.reshape(self.other, -1, parts.shape[-1]), out=out)


class Frames:
    """Signals of one spectrum, a few columns at a time, in arrays that stay in the cache."""

    def __init__(self, inverse: ProductsInverse, parts: Float) -> None:
        self._inverse, self._parts = inverse, parts
        self._made_room(0)

    def _made_room(self, columns: int) -> None:
        inverse, rows = self._inverse, self._parts.shape[1]
        self._product, self._between = np.empty((2, 2, rows, columns), np.float32)
        self._out = np.empty((inverse.other, inverse.prime, columns), np.float32)
        self._ordered = np.empty((inverse.n, columns), np.float32)

    def times(self, first: int, gain: Float) -> Float:
        """Of spectrum times ``gain``, from column ``first`` on, each times the window.

        Parameters
        ----------
        first
            Column of the spectrum.
        gain
            Rows as `ProductsInverse.frequencies`, shape = (rows, columns).

        Returns
        -------
        ndarray
            shape = (n, columns), float32; the next call writes over it.
        """
        columns = gain.shape[1]
        if self._ordered.shape[1] != columns:
            self._made_room(columns)
        np.multiply(self._parts[:, :, first : first + columns], gain, out=self._product)
        self._inverse.transform(self._product, self._between, self._out)
        rows = self._out.reshape(self._inverse.n, columns)
        return np.take(rows, self._inverse.order, axis=0, out=self._ordered, mode="clip")
