"""What a window costs in processor time, part by part, and beside PyTorch.

One thread, parts in turn, so that what else the machine does falls on all of them; run
``python -P -m sgn_rt.benchmarks.studies.window_cost``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sgn_rt._optional import require
from sgn_rt.audio.resample import SpanResampler
from sgn_rt.benchmarks.harness import interleave, summarize
from sgn_rt.engines.base import MaskEngine
from sgn_rt.engines.factory import open_engine
from sgn_rt.engines.torch import TorchEngine
from sgn_rt.model.bundle import Bundle
from sgn_rt.streaming.windows import WindowLayout

ROUNDS = 15
FILE_RATE = 44_100
SOUNDING = 3


def _parts(bundle: Bundle) -> dict[str, Callable[[], object]]:
    engine, config = open_engine("onnxruntime", bundle, 1), bundle.config
    assert isinstance(engine, MaskEngine)
    transform, window = engine.transform, bundle.probe.mixture[:1]
    everything = np.arange(len(config.categories))
    step = WindowLayout.offline(config).step
    up = SpanResampler(config.sample_rate, FILE_RATE)
    start, stop = FILE_RATE, FILE_RATE + step * FILE_RATE // config.sample_rate
    first, last = up.source_span(start, stop)
    signal = np.random.default_rng(0).standard_normal((1, last - first), np.float32)
    (analysis,) = engine.analyze(window, None)
    spectrum, mask = analysis.state[0], np.ones((config.frequency_bins, config.frames), np.float32)
    synthesize = transform.synthesis(spectrum)
    reference = TorchEngine(bundle)
    return {
        "PyTorch eager, all sources": lambda: reference.separate(window, everything),
        "whole window, all sources": lambda: engine.separate(window, everything),
        f"whole window, {SOUNDING} sources": lambda: engine.separate(window, everything[:SOUNDING]),
        "whole window, no source": lambda: engine.analyze(window, None),
        "STFT and logarithm": lambda: transform.log_magnitude(transform.stft(window[0])),
        "inverse STFT of a source": lambda: synthesize(mask),
        "resampling of a source": lambda: up(signal, start, stop),
    }


def main() -> None:
    """Print the table."""
    torch: Any = require("torch", extra="export", purpose="the row of PyTorch")
    torch.set_num_threads(1)
    runs = _parts(Bundle.open(None))
    outcome = interleave(runs, repeats=ROUNDS, clock=time.thread_time)
    base = np.asarray(outcome.seconds["PyTorch eager, all sources"])
    print("| part | ms | least to most | PyTorch is of it |\n| --- | --- | --- | --- |")
    for name, seconds in outcome.seconds.items():
        figures = summarize([1e3 * second for second in seconds])
        ratio = float(np.median(base / np.asarray(seconds)))
        span = f"{figures.least:.2f} to {figures.most:.2f}"
        print(f"| {name} | {figures.median:.2f} | {span} | {ratio:.2f} x |")


if __name__ == "__main__":
    main()
