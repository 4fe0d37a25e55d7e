"""The plugin library's kernels beside the plugins, called with addresses and a stream's handle."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.errors import EngineError, PluginError

WINDOW: Final = np.dtype(
    [("position", np.int64), ("seed", np.uint64), ("start", np.int32), ("gain", np.float32)]
)
"""One window's part, as `Kernels.finish` reads it from the device (24 bytes): the signal's sample
that the window begins with and a seed (both for the dither alone), where in the window the part
begins, and what its samples are multiplied by. It may change between two runs of a graph."""

SPAN: Final = np.dtype([("output", np.int32), ("input", np.int32)])
"""Where a span lies, as `Kernels.resample` reads it from the device: its first output, counted from
the first of its period, and the first input of that period, counted from the memory given."""

PLACE: Final = np.dtype(
    [("first", np.int32), ("column", np.int32), ("weight", np.float32), ("unused", np.int32)]
)
"""Where an output of a period lies: the input of its first coefficient, counted from the period's
first input; its column of coefficients, and the share of the next column."""

_LONG, _ADDRESS, _INT = ctypes.c_int64, ctypes.c_uint64, ctypes.c_int32


class SampleFormat(IntEnum):
    """Format of samples that leave the device. Full scale 1 is 32768 steps of int16."""

    FLOAT32 = 0
    FLOAT16 = 1
    INT16 = 2
    DITHERED_INT16 = 3
    """With triangular noise of up to one step on either side (TPDF) before rounding."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of one sample."""
        return np.dtype((np.float32, np.float16, np.int16, np.int16)[self])


@dataclass(frozen=True, slots=True, eq=False)
class FilterTables:
    """What the kernel reads of a filter.

    Attributes
    ----------
    up, down
        Outputs and inputs of one period.
    coefficients
        shape = (taps, columns), float32.
    places
        Of a period's outputs, shape = (up,), `PLACE`.
    interpolated
        Whether coefficients lie between two columns.
    reach
        Inputs that an output is made of, on either side of its place.
    """

    up: int
    down: int
    coefficients: Float
    places: NDArray[Any]
    interpolated: bool
    reach: int


@dataclass(frozen=True, slots=True)
class FftWork:
    """Work area of an FFT plan.

    Attributes
    ----------
    rows
        That it transforms at once; 0 where there was no plan yet.
    reserved_bytes
        By estimate, in the plugin's workspace.
    wanted_bytes
        By cuFFT. What exceeds the estimate is allocated beside it, once a context.
    """

    rows: int
    reserved_bytes: int
    wanted_bytes: int


class Kernels:
    """Functions of a plugin library, on the device and context of the calling thread.

    Nothing is allocated or waited for, so that all of it may be captured into a CUDA graph; call
    `load` before.

    Parameters
    ----------
    path
        The library; in tests its build for the host, whose device is host memory.

    Raises
    ------
    PluginError
        If it is none, or lacks a function.
    """

    def __init__(self, path: Path) -> None:
        try:
            library = ctypes.CDLL(str(path))
            self._text = library.sgn_rt_status_text
            self._load = library.sgn_rt_load_kernels
            self._finish = library.sgn_rt_finish
            self._resample = library.sgn_rt_resample
            self._fft_work = library.sgn_rt_fft_work
        except (OSError, AttributeError) as error:
            raise PluginError(
                f"plugin library {path}: got {error}, expected this version's functions. "
                "Run `sgn-rt plugins build`."
            ) from error
        self._text.restype = ctypes.c_char_p
        self._text.argtypes = (_INT,)
        self._finish.argtypes = (*[_ADDRESS] * 5, *[_LONG] * 4, _INT, _ADDRESS)
        self._resample.argtypes = (*[_ADDRESS] * 5, *[_LONG] * 4, *[_INT] * 5, _ADDRESS)

    def load(self) -> None:
        """Bring the kernels onto the current device, so that no first launch has to.

        Raises
        ------
        EngineError
            If the library has none for this device.
        """
        self._expect(self._load(), "kernels of the plugin library")

    def fft_work(self) -> FftWork:
        """Of the plugins' plan that wanted the most for what was reserved, in this process."""
        numbers = _LONG(), _LONG(), _LONG()
        self._fft_work(*map(ctypes.byref, numbers))
        return FftWork(*(number.value for number in numbers))

    def finish(
        self,
        *,
        sources: int,
        windows: int,
        categories: int = 0,
        out: int,
        flags: int,
        shape: tuple[int, int, int],
        count: int,
        form: SampleFormat,
        stream: int,
    ) -> None:
        """Give a stream: the parts that are heard, in their format, and whether all is finite.

        Parameters
        ----------
        sources
            Address of the sources, float32, `shape`; on the device, as all here.
        windows
            Address of one `WINDOW` a window. A part that does not lie in its window is moved.
        categories
            Address of the sources' categories, int64, of which the dither's noise is; 0 where it is
            of their places in the call.
        out
            Address of what is written: samples ``[start, start + count)`` of every source times
            the window's gain, shape = (windows, sources, count), of ``form.dtype``; int16 rounded
            half to even; both it and float16 clipped where they end.
        flags
            Address of what is written: int32, shape = (windows,), 0 where all samples of a window's
            sources are finite, within the part and beyond; else 1. Samples that are not finite are
            written as anything.
        shape
            (windows, sources, samples of a window).
        count
            Samples of a part, 1 to those of a window.
        form
            What samples are written as. The dither's noise depends on seed, category and position
            in the signal alone, not on what is computed beside.
        stream
            Its handle.

        Raises
        ------
        EngineError
            If sizes or alignment are wrong, or the driver refuses the launch.
        """
        status = self._finish(sources, windows, categories, out, flags, *shape, count, form, stream)
        self._expect(status, f"finish of sources {shape}, {count} samples as {form.name.lower()}")

    def resample(
        self,
        *,
        source: int,
        spans: int,
        out: int,
        coefficients: int,
        places: int,
        shape: tuple[int, int, int],
        count: int,
        filter_: FilterTables,
        stream: int,
    ) -> None:
        """Give a stream: a span of every window at another rate.

        Parameters
        ----------
        source
            Address of the samples, float32, `shape`; on the device, as all here. Beyond them the
            signal is zero.
        spans
            Address of one `SPAN` a window, as `PolyphaseResampler.span` makes them; they may
            change between two runs of a graph.
        out
            Address of what is written, shape = (windows, rows, count), float32; zero where a
            sample would be 500 dB below full scale.
        coefficients, places
            Addresses of copies of the filter's tables.
        shape
            (windows, rows, samples); a row is a channel or a source.
        count
            Outputs of every row.
        filter_
            Whose tables these are.
        stream
            Its handle.

        Raises
        ------
        EngineError
            If sizes or alignment are wrong, or the driver refuses the launch.
        """
        taps, columns = filter_.coefficients.shape
        status = self._resample(
            source, spans, out, coefficients, places, *shape, count, filter_.up, filter_.down,
            taps, columns, filter_.interpolated, stream,
        )  # fmt: skip
        self._expect(
            status, f"resampling of {shape}, {count} samples by {filter_.up}/{filter_.down}"
        )

    def _expect(self, status: int, what: str) -> None:
        if status != 0:
            text = self._text(status).decode(errors="replace")
            raise EngineError(
                f"{what}: got {text} (CUDA error {status}), expected success. "
                "Check the GPU's free memory and the driver."
            )
