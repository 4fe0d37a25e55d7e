"""The hub on the model and the music that ship."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.audio.labelled_music import load_music
from sgn_rt.separator import Separator


@pytest.fixture(scope="module")
def separator():
    with Separator.open(engine="onnxruntime") as opened:
        yield opened


@pytest.fixture(scope="module")
def pieces():
    return load_music(None, 11025)


def test_bit_for_bit_as_alone(separator, pieces, alone, joined, same):
    latencies, parts = (2.0, None), []
    signals = [np.atleast_2d(piece.mixture).astype(np.float32) for piece in pieces[:2]]
    choices = [
        {"sample_rate": 11025, "categories": list(piece.stems), "latency_s": latency_s}
        for piece, latency_s in zip(pieces, latencies, strict=False)
    ]
    with separator.hub(overload="raise", deadline_s=1e9, buffer_s=60.0) as hub:
        streams = [hub.open(channels=len(signals[i]), **choices[i]) for i in range(2)]
        got = [[], []]
        for at in range(0, max(signal.shape[1] for signal in signals), 2000):
            for stream, signal, parts in zip(streams, signals, got, strict=True):
                stream.feed(signal[:, at : at + 2000])
                parts.append(stream.read())
        for stream, parts in zip(streams, got, strict=True):
            parts.append(stream.close())
    for parts, signal, options in zip(got, signals, choices, strict=True):
        same(joined(parts), alone(separator, signal, **options))


def test_what_is_in_the_music_appears(separator, pieces):
    piece = pieces[0]
    with separator.hub(overload="raise", deadline_s=1e9, buffer_s=60.0) as hub:
        stream = hub.open(sample_rate=11025, categories=[], residual=True)
        stream.feed(piece.mixture[..., : 11025 * 4])
        stream.feed(piece.mixture[..., 11025 * 4 : 11025 * 8])
        rest = stream.close()
        assert {event.category for event in stream.events()} >= set(piece.stems)
    np.testing.assert_array_equal(rest["residual"][0], np.ravel(piece.mixture)[: 11025 * 8])


def test_the_engine_is_measured(separator):
    with separator.hub() as hub:
        stats = hub.stats()
        assert stats.capacity > 0
        assert stats.load == 0
