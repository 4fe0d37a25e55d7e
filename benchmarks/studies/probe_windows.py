"""Windows of music that a probe could hold: cut at several places, at several levels, and mixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

import numpy as np

from sgn_rt.audio.labelled_music import Piece

PLACES: Final = 3
"""Of a signal at which a window begins, the first and the last among them."""
LEVELS_DB: Final = (0.0, -20.0)


def signals(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """The mixtures, their stems alone, stems of two pieces together, and two mixtures."""
    yield from pieces
    stems = [(piece.name, name, stem) for piece in pieces for name, stem in piece.stems.items()]
    for of, name, stem in stems:
        yield Piece(f"{name} of {of}", stem, {name: stem})
    pairs = [
        (Piece(f"{a} of {one}", x, {a: x}), Piece(f"{b} of {other}", y, {b: y}))
        for (one, a, x), (other, b, y) in combinations(stems, 2)
        if one != other and a != b
    ]
    for one, other in (*pairs, *combinations(pieces, 2)):
        samples = min(len(one.mixture), len(other.mixture))
        both = one.stems | other.stems
        yield Piece(
            f"{one.name} and {other.name}",
            one.mixture[:samples] + other.mixture[:samples],
            {name: stem[:samples] for name, stem in both.items()},
        )


def windows_of(pieces: Sequence[Piece], samples: int, places: int = PLACES) -> list[Piece]:
    """Candidates, each of a window's length."""
    found = []
    for signal in signals(pieces):
        last = max(0, len(signal.mixture) - samples)
        for start in sorted({int(place) for place in np.linspace(0, last, places)}):
            for level in LEVELS_DB:
                gain = np.float32(10.0 ** (level / 20.0))
                part = slice(start, start + samples)
                name = f"{signal.name}, from {start}, {level:+g} dB"
                stems = {key: stem[part] * gain for key, stem in signal.stems.items()}
                found.append(Piece(name, signal.mixture[part] * gain, stems))
    return [window for window in found if window.mixture.any()]
