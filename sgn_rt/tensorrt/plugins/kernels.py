"""The plugin library's kernels beside the plugins, called with addresses and a stream's handle."""

from __future__ import annotations

import ctypes
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import numpy as np

from sgn_rt.errors import EngineError, PluginError

WINDOW: Final = np.dtype(
    [("position", np.int64), ("seed", np.uint64), ("start", np.int32), ("gain", np.float32)]
)
"""One window's part, as `Kernels.finish` reads it from the device (24 bytes): the signal's sample
that the window begins with and a seed (both for the dither alone), where in the window the part
begins, and what its samples are multiplied by. It may change between two runs of a graph."""

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
        except (OSError, AttributeError) as error:
            raise PluginError(
                f"plugin library {path}: got {error}, expected this version's functions. "
                "Run `sgn-rt plugins build`."
            ) from error
        self._text.restype = ctypes.c_char_p
        self._text.argtypes = (_INT,)
        self._finish.argtypes = (*[_ADDRESS] * 4, *[_LONG] * 4, _INT, _ADDRESS)

    def load(self) -> None:
        """Bring the kernels onto the current device, so that no first launch has to.

        Raises
        ------
        EngineError
            If the library has none for this device.
        """
        self._expect(self._load(), "kernels of the plugin library")

    def finish(
        self,
        *,
        sources: int,
        windows: int,
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
        out
            Address of what is written: samples ``[start, start + count)`` of every source times
            the window's gain, shape = (windows, sources, count), of ``form.dtype``; int16 rounded
            half to even and clipped.
        flags
            Address of what is written: int32, shape = (windows,), 0 where all samples of a window's
            sources are finite, within the part and beyond; else 1. Samples that are not finite are
            written as anything.
        shape
            (windows, sources, samples of a window).
        count
            Samples of a part, 1 to those of a window.
        form
            What samples are written as. The dither's noise depends on seed, source and position in
            the signal alone, not on what is computed beside.
        stream
            Its handle.

        Raises
        ------
        EngineError
            If sizes or alignment are wrong, or the driver refuses the launch.
        """
        status = self._finish(sources, windows, out, flags, *shape, count, form, stream)
        self._expect(status, f"finish of sources {shape}, {count} samples as {form.name.lower()}")

    def _expect(self, status: int, what: str) -> None:
        if status != 0:
            text = self._text(status).decode(errors="replace")
            raise EngineError(
                f"{what}: got {text} (CUDA error {status}), expected success. "
                "Check the GPU's free memory and the driver."
            )
