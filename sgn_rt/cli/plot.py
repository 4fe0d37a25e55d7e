"""One picture of a separated recording: mixture and stems as spectrograms, presence beside them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sgn_rt._optional import require
from sgn_rt.audio.recording import Recording, open_recording
from sgn_rt.cli.process import printable
from sgn_rt.report import SeparationFiles

COLUMNS: Final = 800
"""Of a spectrogram, however long the recording is: each is the mean power of its time."""
RANGE_DB: Final = 80.0
LOWEST_HZ: Final = 50.0
_FRAME_S: Final = 0.093
_OVERLAP: Final = 4
"""Frames are long enough to tell low notes apart, and overlap to show where they begin."""
_SILENCE: Final = 1e-12
"""Power that counts as the loudest where nothing is louder."""

_ROW, _BAR, _LEGEND, _MARGINS, _SCALE = 1.5, 0.24, 0.9, 0.9, 6.0
"""Heights, inches: a spectrogram, a bar of presence, what is around them, the scale at most."""

_WRITTEN, _NOT_WRITTEN, _THRESHOLD = "tab:orange", "lightgrey", "tab:blue"


def require_matplotlib() -> None:
    """Raise DependencyError, before any work, if pictures cannot be drawn."""
    require("matplotlib", extra="plot", purpose="--plot")


def power_spectrogram(recording: Recording, frame: int) -> NDArray[np.float64]:
    """Mean power by time and frequency, memory constant in the length of the recording.

    Parameters
    ----------
    recording
        Its channels are averaged in power.
    frame
        FFT length, samples.

    Returns
    -------
    ndarray
        shape = (frame // 2 + 1, at most COLUMNS).
    """
    hop = frame // _OVERLAP
    per_column = max(1, -(-recording.samples // (COLUMNS * hop)))
    window = np.hanning(frame)
    before = np.zeros((recording.channels, frame - hop), np.float32)
    columns = []
    for block in recording.blocks(per_column * hop):
        missing = -block.shape[1] % hop
        joined = np.concatenate((before, np.pad(block, ((0, 0), (0, missing)))), axis=1)
        frames = sliding_window_view(joined, frame, axis=1)[:, ::hop] * window
        columns.append(np.mean(np.abs(scipy.fft.rfft(frames)) ** 2, axis=(0, 1)))
        before = joined[:, joined.shape[1] - (frame - hop) :]
    return np.stack(columns, axis=1)


def draw_overview(
    mixture: Recording,
    files: SeparationFiles,
    *,
    title: str,
    model: str,
    highest_hz: float,
    thresholds: Mapping[str, float],
) -> Any:
    """Draw the picture.

    Parameters
    ----------
    mixture
        What was separated.
    files
        What was made of it: at least one stem.
    title
        What it is called.
    model
        Name of the model.
    highest_hz
        What the model hears, up to; above, stems are silent, and the picture ends there.
    thresholds
        Category -> presence from which it counts as present.

    Returns
    -------
    matplotlib.figure.Figure
        See `as_png`.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    order = presence_order(files)
    rows = {"mixture": mixture}
    rows |= {
        name: open_recording(files.stems[name])
        for name in [*order, *files.stems]
        if name in files.stems
    }
    height = _MARGINS + max(_ROW * len(rows), _BAR * len(order) + _LEGEND)
    figure = Figure(figsize=(12.0, height), layout="constrained")
    FigureCanvasAgg(figure)
    title = f"{title}, {_duration(files.duration_s)}, separated by {model}"
    figure.suptitle(printable(title), x=0.01, ha="left")
    parts: Any = figure.subfigures(1, 2, width_ratios=(3.6, 1.0))
    left, right = parts
    _draw_spectrograms(left, rows, files, highest_hz)
    bars = _BAR * len(order)
    grid = right.add_gridspec(2, 1, height_ratios=(bars, max(_LEGEND, height - _MARGINS - bars)))
    presence, below = right.add_subplot(grid[0]), right.add_subplot(grid[1])
    _draw_presence(presence, order, files, thresholds)
    below.axis("off")
    below.legend(*presence.get_legend_handles_labels(), loc="upper left", frameon=False)
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # names are no formulas, though they may have dollar signs
    return figure


def as_png(figure: Any) -> bytes:
    """A figure as a PNG file."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    return png.getvalue()


def presence_order(files: SeparationFiles) -> list[str]:
    """Categories from the top of the picture down: those with a stem first, most present first."""
    presence = files.presence
    return sorted(presence, key=lambda name: (name not in files.stems, -presence[name]))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min"


def _draw_spectrograms(
    figure: Any, rows: Mapping[str, Recording], files: SeparationFiles, highest_hz: float
) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator

    rate = files.sample_rate
    frame = max(64, min(2 ** round(np.log2(rate * _FRAME_S)), files.samples))
    top_hz = min(highest_hz, rate / 2)
    bins = 1 + int(np.ceil(top_hz * frame / rate))
    powers = {name: power_spectrogram(each, frame)[:bins] for name, each in rows.items()}
    loudest = max(float(powers["mixture"].max()), _SILENCE)
    every = figure.subplots(len(rows), 1, sharex=True, sharey=True)
    for axes, (name, power) in zip(every, powers.items(), strict=True):
        image = axes.pcolormesh(
            np.linspace(0.0, files.samples / rate, power.shape[1] + 1),
            (np.arange(len(power) + 1) - 0.5).clip(0) * rate / frame,
            10.0 * np.log10(np.maximum(power / loudest, 10 ** (-RANGE_DB / 10))),
            vmin=-RANGE_DB,
            vmax=0.0,
            cmap="magma",
            rasterized=True,
        )
        axes.set_yscale("log")
        axes.set_ylim(min(LOWEST_HZ, top_hz / 4), top_hz)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        axes.minorticks_off()
        axes.set_title(printable(name), loc="left", fontsize="medium")
        axes.set_ylabel("Hz")
    axes.set_xlabel("seconds")
    shown = every[: max(1, round(_SCALE / _ROW))]  # a scale of the whole height would be a bar
    figure.colorbar(
        image,
        ax=shown,
        location="left",
        aspect=30,
        pad=0.01,
        label="dB, the mixture's loudest is 0",
    )


def _draw_presence(
    axes: Any, order: list[str], files: SeparationFiles, thresholds: Mapping[str, float]
) -> None:
    places = np.arange(len(order))
    for written, colour, label in (
        (True, _WRITTEN, "written"),
        (False, _NOT_WRITTEN, "not written"),
    ):
        shown = [place for place in places if (order[place] in files.stems) == written]
        if shown:
            values = [files.presence[order[place]] for place in shown]
            axes.barh(shown, values, color=colour, label=label)
    limits = [thresholds[name] for name in order]
    edges = np.repeat(np.arange(len(order) + 1) - 0.5, 2)[1:-1]
    axes.plot(np.repeat(limits, 2), edges, "--", color=_THRESHOLD, label="threshold")
    axes.set_yticks(places, [printable(name) for name in order])
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlim(0.0, 1.0)
    axes.set_title("presence", loc="left", fontsize="medium")
    axes.set_xticks((0.0, 0.5, 1.0))
    axes.yaxis.tick_right()
