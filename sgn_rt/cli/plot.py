"""One picture of a separated recording: mixture and stems as spectrograms, presence beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from sgn_rt._optional import require
from sgn_rt.audio.reader import open_audio
from sgn_rt.report import SeparationFiles

COLUMNS = 800
"""Of a spectrogram, however long the recording is: each is the mean power of its time."""
RANGE_DB = 80.0
LOWEST_HZ = 50.0


def require_matplotlib() -> None:
    """Raise DependencyError, before any work, if pictures cannot be drawn."""
    require("matplotlib", extra="plot", purpose="--plot")


def power_spectrogram(path: Path, frame: int) -> NDArray[np.float64]:
    """Mean power by time and frequency, memory constant in the length of the file.

    Parameters
    ----------
    path
        Audio file; its channels are averaged in power.
    frame
        FFT length, samples.

    Returns
    -------
    ndarray
        shape = (frame // 2 + 1, at most COLUMNS).
    """
    reader = open_audio(path)
    per_column = max(1, -(-reader.frames // (COLUMNS * frame)))
    window = np.hanning(frame)[:, None]
    columns = []
    for block in reader.blocks(per_column * frame):
        padded = np.zeros((len(block), -(-block.shape[1] // frame) * frame), np.float32)
        padded[:, : block.shape[1]] = block
        frames = padded.reshape(-1, frame).T * window
        columns.append(np.mean(np.abs(scipy.fft.rfft(frames, axis=0)) ** 2, axis=1))
    return np.stack(columns, axis=1)


def draw_overview(mixture: Path, files: SeparationFiles, path: Path) -> None:
    """Draw the picture.

    Parameters
    ----------
    mixture
        The recording.
    files
        What was made of it.
    path
        PNG to write.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows: Mapping[str, Path] = {"mixture": mixture, **files.stems}
    seconds = files.samples / files.sample_rate
    top_hz = files.sample_rate / 2
    figure = Figure(figsize=(12.0, 1.2 + 1.5 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(rows), 2, width_ratios=(4, 1))
    # Frames short enough to show a second in some detail, long enough to tell semitones apart.
    frame = 2 ** max(6, round(np.log2(files.sample_rate * 0.046)))
    frame = min(frame, max(64, files.samples))
    powers = {name: power_spectrogram(file, frame) for name, file in rows.items()}
    loudest = 10.0 * np.log10(powers["mixture"].max() + 1e-20)
    shared: Any = None
    for row, (name, power) in enumerate(powers.items()):
        axes = figure.add_subplot(grid[row, 0], sharex=shared, sharey=shared)
        shared = shared or axes
        frequencies = np.linspace(0.0, top_hz, len(power))
        times = np.linspace(0.0, seconds, power.shape[1] + 1)
        level = 10.0 * np.log10(power + 1e-20)
        edges = np.append(frequencies, top_hz + frequencies[1])
        image = axes.pcolormesh(
            times,
            edges,
            level,
            vmin=loudest - RANGE_DB,
            vmax=loudest,
            cmap="magma",
            rasterized=True,
        )
        axes.set_yscale("log")
        axes.set_ylim(min(LOWEST_HZ, top_hz / 4), top_hz)
        axes.set_title(name, loc="left", fontsize="medium")
        axes.set_ylabel("Hz")
        axes.label_outer()
    axes.set_xlabel("seconds")
    figure.colorbar(image, ax=figure.axes, location="left", label="dB", aspect=40, pad=0.01)
    _draw_presence(figure.add_subplot(grid[:, 1]), files)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _draw_presence(axes: Any, files: SeparationFiles) -> None:
    order = sorted(files.presence, key=files.presence.__getitem__)
    colours = ["tab:orange" if name in files.stems else "lightgrey" for name in order]
    axes.barh(order, [files.presence[name] for name in order], color=colours)
    axes.set_xlim(0.0, 1.0)
    axes.set_title("presence", loc="left", fontsize="medium")
    axes.yaxis.tick_right()
