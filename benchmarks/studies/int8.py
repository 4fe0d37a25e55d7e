"""int8 against float32 on the CPU: the network's time side by side, and what it costs in quality.

``python -P -m sgn_rt.benchmarks.studies.int8`` exports the model that ships in both, times the
network of a window in turn on one thread, and compares the sources with the true stems of the music
that ships.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import onnxruntime

from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import Piece, load_music
from sgn_rt.benchmarks.harness import CALLS, interleave, ratios, summarize
from sgn_rt.benchmarks.machine.environment import cpu_model
from sgn_rt.engines.base import Engine
from sgn_rt.engines.factory import open_engine
from sgn_rt.export.writer import export_bundle
from sgn_rt.model.bundle import Bundle, embedded
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, GRAPH_OUTPUTS, Kind, Precision, Tensor
from sgn_rt.model.transform import Transform
from sgn_rt.parity.measure import measure
from sgn_rt.parity.metrics import si_sdr

PRECISIONS = (Precision.FP32, Precision.INT8)


class Loss(NamedTuple):
    """SI-SDR against a true stem that int8 loses, dB; of the window that begins at ``start``."""

    piece: str
    stem: str
    start: int
    decibels: float


def losses(right: Engine, given: Engine, pieces: Sequence[Piece]) -> Iterator[Loss]:
    """Compare two engines on every window, half overlapping, in which a known stem sounds."""
    config = right.config
    size = config.window_samples
    for piece in pieces:
        names = [name for name in piece.stems if name in config.categories]
        wanted = np.array([config.categories.index(name) for name in names])
        for start in range(0, len(piece.mixture) - size + 1, size // 2):
            window = piece.mixture[None, start : start + size]
            sources = [engine.separate(window, wanted).sources[0] for engine in (right, given)]
            for name, one, other in zip(names, *sources, strict=True):
                stem = piece.stems[name][start : start + size]
                if np.any(stem):
                    loss = si_sdr(one, stem) - si_sdr(other, stem)
                    yield Loss(piece.name, name, start, loss)


def times(bundle: Bundle, window: Float, repeats: int) -> dict[Precision, list[float]]:
    """Seconds of processor time that the network takes for a window on one thread, in rounds.

    Not those of the clock on the wall: who else uses the machine does not count.
    """
    transform = Transform(bundle.config)
    feed = {str(Tensor.LOG_MAGNITUDE): transform.log_magnitude(transform.stft(window))[None]}
    outputs = [str(name) for name in GRAPH_OUTPUTS[Kind.CORE] if name != Tensor.EMBEDDING]
    sessions = {precision: _session(bundle, precision) for precision in PRECISIONS}
    outcome = interleave(
        {p: partial(session.run, outputs, feed) for p, session in sessions.items()},
        repeats=repeats, warming=CALLS, clock=time.process_time,
    )  # fmt: skip
    return {precision: outcome.seconds[precision] for precision in PRECISIONS}


def _session(bundle: Bundle, precision: Precision) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = bundle.root / f"{Kind.CORE}.{precision}.onnx"
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def report(bundle: Bundle, pieces: Sequence[Piece], repeats: int) -> Iterator[str]:
    """Lines: time, quality, and where each stage stands."""
    yield f"{cpu_model()}, onnxruntime {onnxruntime.__version__}, one thread"
    seconds = times(bundle, pieces[0].mixture[: bundle.config.window_samples], repeats)
    for precision, each in seconds.items():
        figures = summarize([1e3 * second for second in each])
        yield (
            f"network of a window, {precision}: {figures.median:.1f} ms "
            f"({figures.least:.1f} to {figures.p95:.1f})"
        )
    faster = summarize(ratios(seconds[Precision.INT8], seconds[Precision.FP32]))
    yield (
        f"int8 is {faster.median:.2f} times as fast (rounds: {faster.least:.2f} to "
        f"{faster.most:.2f})"
    )
    right, given = (open_engine(f"onnxruntime:core.{p}", bundle, 1) for p in PRECISIONS)
    found = list(losses(right, given, pieces))
    worst = max(found, key=lambda loss: loss.decibels)
    yield (
        f"SI-SDR lost against {len(found)} true stems in windows: "
        f"{np.mean([loss.decibels for loss in found]):.3f} dB in the mean, {worst.decibels:.3f} "
        f"at worst ({worst.stem} of {worst.piece} from sample {worst.start})"
    )
    for engine in (right, given):
        for result in measure(engine, bundle.probe):
            yield f"{engine.name}: {result}"
        engine.close()


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path),
              help="Holds core in fp32 and int8; the model that ships, exported now.")  # fmt: skip
@click.option("--music", type=click.Path(path_type=Path), help="Folder of NAME.mix and stems.")
@click.option("--repeats", type=click.IntRange(min=1), default=50, show_default=True,
              help="Rounds.")  # fmt: skip
def main(bundle: Path | None, music: Path | None, repeats: int) -> None:
    """Time, quality and stages of int8 beside those of float32."""
    with tempfile.TemporaryDirectory() as made:
        if bundle is None:
            bundle = Path(made) / "bundle"
            checkpoint = embedded() / BUNDLE_CHECKPOINT
            export_bundle(checkpoint, bundle, kinds=[Kind.CORE], precisions=PRECISIONS)
        opened = Bundle.open(bundle)
        for line in report(opened, load_music(music, opened.config.sample_rate), repeats):
            click.echo(line)


if __name__ == "__main__":
    main()
