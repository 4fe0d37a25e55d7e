"""The recording that is separated: the shipped music, repeated to any length, always the same."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import numpy as np
import soundfile

from sgn_rt.audio.labelled_music import load_music

SAMPLE_RATE = 44_100
"""Hz: what most recordings have, and four times the published model's."""

SOUNDS = ("piano", "tuba", "xylophone")
"""What sounds in it: a duet, and a solo after it, again and again."""

_GAINS = (1.0, 0.7, 0.85, 0.5, 0.95)
"""No two repetitions of a piece in a row are the same sound, so that no cache makes them cheap."""


def write_recording(path: Path, minutes: float) -> int:
    """Write a mono 16-bit file of some minutes; its samples.

    Parameters
    ----------
    path
        A WAV file.
    minutes
        Its length, at least one sample.
    """
    music = load_music(None, SAMPLE_RATE)
    duet = next(piece for piece in music if {*SOUNDS[:2]} == piece.stems.keys())
    solo = next(piece.stems[SOUNDS[2]] for piece in music if SOUNDS[2] in piece.stems)
    pieces = [duet.mixture, solo]
    total = max(1, round(minutes * 60 * SAMPLE_RATE))
    written = 0
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, subtype="PCM_16", format="WAV") as file:
        for index, gain in enumerate(cycle(_GAINS)):
            block = pieces[index % len(pieces)][: total - written] * np.float32(gain)
            file.write(block)
            written += len(block)
            if written == total:
                return written
    raise AssertionError("a cycle does not end")
