"""What an estimate is measured against: the mixture itself, and the best that masks can give."""

from __future__ import annotations

import numpy as np
from scipy.signal import ShortTimeFFT

from sgn_rt._types import Float
from sgn_rt.audio.resample import SpanResampler
from sgn_rt.evaluation.protocols.base import Item, as_long
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.transform import window_of

MIXTURE, IDEAL = "mixture", "ideal ratio mask"


def mixture_as_estimates(item: Item) -> dict[str, Float]:
    """What a system gives that does nothing: the mixture for each source that counts."""
    return dict.fromkeys(item.counted, item.mixture)


def ideal_ratio_mask(item: Item, config: ModelConfig) -> dict[str, Float]:
    """What masks of the true magnitudes give, on the model's own STFT and at its rate.

    The mask of a source is its magnitude over the sum of all sources' magnitudes.
    """
    samples = item.mixture.shape[1]
    mixture = _converted(item.mixture, item.sample_rate, config.sample_rate)
    sources = [_converted(s, item.sample_rate, config.sample_rate) for s in item.sources.values()]
    stft = ShortTimeFFT(window_of(config), config.hop_length, config.sample_rate)
    magnitudes = np.abs(np.stack([stft.stft(source) for source in sources]))
    masks = magnitudes / np.maximum(magnitudes.sum(axis=0), np.finfo(np.float32).tiny)
    spectrum, length = stft.stft(mixture), mixture.shape[1]
    found = {}
    for label, mask in zip(item.sources, masks, strict=True):
        if label in item.counted:
            signal = stft.istft(mask * spectrum, k1=length).astype(np.float32)
            back = _converted(signal, config.sample_rate, item.sample_rate)
            found[label] = as_long(back, samples)
    return found


def _converted(signal: Float, rate: int, to: int) -> Float:
    """At another rate, shape = (channels, samples)."""
    if rate == to:
        return signal
    resample = SpanResampler(rate, to)
    length = int(np.ceil(signal.shape[1] * resample.ratio))
    start, stop = resample.source_span(0, length)
    span = np.zeros((len(signal), stop - start), np.float32)
    kept = signal[:, :stop]
    span[:, -start : -start + kept.shape[1]] = kept
    converted: Float = resample(span, 0, length)
    return converted
