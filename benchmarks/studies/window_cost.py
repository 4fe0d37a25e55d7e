"""What a window costs in processor time, part by part, and beside PyTorch.

One thread, parts in turn, so that what else the machine does falls on all of them; run
``python -P -m sgn_rt.benchmarks.studies.window_cost [BUNDLE]``. PyTorch's reference is called as it
is: where nothing is named it is asked for presence, and then again for the sources that are there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from sgn_rt._optional import require
from sgn_rt.audio.resample import SpanResampler
from sgn_rt.benchmarks.harness import interleave, summarize
from sgn_rt.engines.factory import open_engine
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, Kind
from sgn_rt.model.transform import Transform
from sgn_rt.streaming.windows import WindowLayout

ROUNDS = 15
FILE_RATE = 44_100
SOUNDING = 3
ALL: Final = "PyTorch eager, all sources"
"""What the others are compared with."""
_Parts = dict[str, Callable[[], object]]


def _parts(bundle: Bundle) -> _Parts:
    config, window = bundle.config, bundle.probe.mixture[0]
    transform = Transform(config)
    step = WindowLayout.offline(config).step
    up = SpanResampler(config.sample_rate, FILE_RATE)
    start, stop = FILE_RATE, FILE_RATE + step * FILE_RATE // config.sample_rate
    first, last = up.source_span(start, stop)
    signal = np.random.default_rng(0).standard_normal((1, last - first), np.float32)
    mask = np.ones((config.frequency_bins, config.frames), np.float32)
    synthesize = transform.synthesis(transform.stft(window))
    return {
        **_reference(bundle),
        **dict(_whole(bundle)),
        "STFT and logarithm": lambda: transform.log_magnitude(transform.stft(window)),
        "inverse STFT of a source": lambda: synthesize(mask),
        "resampling of a source": lambda: up(signal, start, stop),
    }


def _reference(bundle: Bundle) -> _Parts:
    torch: Any = require("torch", extra="export", purpose="the row of PyTorch")
    torch.set_num_threads(1)
    from sgn_rt.reference import load

    model: Any = load(bundle.root / BUNDLE_CHECKPOINT)
    model = model.to(memory_format=torch.channels_last)
    window = torch.from_numpy(bundle.probe.mixture[:1])
    everything = torch.arange(len(bundle.config.categories))

    def run(*asked: int) -> None:
        with torch.inference_mode():
            for count in asked:
                if count:
                    model(window, everything[:count])
                else:
                    model.presence(model.log_magnitude(model.stft(window)))

    return {
        ALL: lambda: run(len(everything)),
        f"PyTorch eager, none named, {SOUNDING} sources": lambda: run(0, SOUNDING),
    }


def _whole(bundle: Bundle) -> Iterator[tuple[str, Callable[[], object]]]:
    window, everything = bundle.probe.mixture[:1], np.arange(len(bundle.config.categories))
    for artifact in bundle.artifacts:
        if artifact.kind != Kind.CORE:
            continue
        engine = open_engine(f"onnxruntime:{artifact.name}", bundle, 1)
        for name, count in (("all", len(everything)), (f"{SOUNDING}", SOUNDING), ("no", 0)):
            part = partial(engine.separate, window, everything[:count])
            yield f"{artifact.name}, whole window, {name} sources", part


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
def main(bundle: Path | None) -> None:
    """Print the table."""
    runs = _parts(Bundle.open(bundle))
    outcome = interleave(runs, repeats=ROUNDS, clock=time.thread_time)
    base = np.asarray(outcome.seconds[ALL])
    print("| part | ms | least to most | PyTorch is of it |\n| --- | --- | --- | --- |")
    for name, seconds in outcome.seconds.items():
        figures = summarize([1e3 * second for second in seconds])
        ratio = float(np.median(base / np.asarray(seconds)))
        span = f"{figures.least:.2f} to {figures.most:.2f}"
        print(f"| {name} | {figures.median:.2f} | {span} | {ratio:.2f} x |")


if __name__ == "__main__":
    main()
