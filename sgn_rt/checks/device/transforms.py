"""The steps of the plugins, called one by one (csrc/transforms.cpp); addresses are the device's."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, Final

from sgn_rt.errors import EngineError, PluginError

_INT, _LONG, _ADDRESS = ctypes.c_int32, ctypes.c_int64, ctypes.c_uint64
_SELF, _FLOAT = ctypes.c_void_p, ctypes.c_float

_ARGUMENTS: Final[dict[str, tuple[Any, ...]]] = {
    "plan": (_SELF, _INT, _LONG),
    "fft": (_SELF, _INT, _ADDRESS, _LONG, _ADDRESS, _ADDRESS),
    "framing": (_SELF, _ADDRESS, _ADDRESS, _LONG, _LONG, _ADDRESS),
    "log_magnitude": (_SELF, _INT, _ADDRESS, _ADDRESS, _LONG, _LONG, _FLOAT, _ADDRESS),
    "masking": (_SELF, _INT, _ADDRESS, _ADDRESS, _ADDRESS, *[_LONG] * 4, _ADDRESS),
    "overlap_add": (_SELF, _ADDRESS, _ADDRESS, *[_LONG] * 3, _ADDRESS),
}


class CheckLibrary:
    """The kernels as `sgn_rt.checks.device.build` compiles them.

    Raises
    ------
    PluginError
        If the file is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._library = library = ctypes.CDLL(str(path))
            for name, arguments in _ARGUMENTS.items():
                getattr(library, f"sgn_check_{name}").argtypes = arguments
            library.sgn_check_reason.restype = ctypes.c_char_p
            library.sgn_check_open.restype = _SELF
            library.sgn_check_close.argtypes = (_SELF,)
            for name in ("work_bytes", "chunk"):
                function = getattr(library, f"sgn_check_{name}")
                function.argtypes, function.restype = (_SELF, _LONG), _LONG
        except (OSError, AttributeError) as error:
            raise PluginError(
                f"kernels {path}: got {error}, expected this version's functions. Delete the file."
            ) from error

    def open(self, n_fft: int, hop_length: int, log_bins: int) -> Transforms:
        """Tables of a transform on the current device.

        Raises
        ------
        EngineError
            If the library has no kernels for the device, there is no cuFFT, or no memory.
        """
        handle = self._library.sgn_check_open(n_fft, hop_length, log_bins)
        if not handle:
            raise EngineError(f"kernels: {self.reason()}")
        return Transforms(self, handle, n_fft, hop_length, log_bins)

    def call(self, function: str, *arguments: Any) -> int:
        """A function's number.

        Raises
        ------
        EngineError
            If it fails.
        """
        result: int = getattr(self._library, f"sgn_check_{function}")(*arguments)
        if result != 0 and function not in ("work_bytes", "chunk"):
            raise EngineError(f"{function}: {self.reason() or f'got CUDA error {result}'}")
        return result

    def spin(self, cycles: int, stream: int) -> None:
        """Keep one multiprocessor busy for so many of its clock's cycles."""
        self.call("spin", ctypes.c_longlong(cycles), _ADDRESS(stream))

    def trap(self, stream: int) -> None:
        """Break the context, some time later."""
        self.call("trap", _ADDRESS(stream))

    def reason(self) -> str:
        """Why the last call failed."""
        text: bytes = self._library.sgn_check_reason()
        return text.decode(errors="replace").removeprefix("[sgn-rt plugins] ")


class Transforms:
    """One size of transform; shapes as in `sgn_rt/tensorrt/plugins/csrc/kernels.h`."""

    def __init__(
        self, library: CheckLibrary, handle: int, n_fft: int, hop_length: int, log_bins: int
    ) -> None:
        self._library, self._handle = library, handle
        self.n_fft, self.hop_length, self.log_bins = n_fft, hop_length, log_bins

    @property
    def bins(self) -> int:
        """Of the spectrum."""
        return self.n_fft // 2 + 1

    @property
    def row_bytes(self) -> int:
        """Of a frame, or its spectrum in the same place."""
        return 8 * self.bins

    def frames(self, samples: int) -> int:
        """Of a centred transform."""
        return (samples + 2 * (self.n_fft // 2) - self.n_fft) // self.hop_length + 1

    def work_bytes(self, rows: int) -> int:
        """What the plugins reserve as the FFT's work area."""
        return self._library.call("work_bytes", self._handle, rows)

    def chunk(self, frames: int) -> int:
        """Sources that the plugins transform at once."""
        return self._library.call("chunk", self._handle, frames)

    def plan(self, *, inverse: bool, rows: int) -> None:
        """Make the FFT's plan, which must not happen later."""
        self._library.call("plan", self._handle, inverse, rows)

    def fft(self, *, inverse: bool, rows: int, count: int, work: int, stream: int) -> None:
        """Transform ``count`` rows in place."""
        self._library.call("fft", self._handle, inverse, rows, count, work, stream)

    def framing(self, mixture: int, rows: int, shape: tuple[int, int], stream: int) -> None:
        """Windows of ``shape`` (B, N) to windowed frames."""
        self._library.call("framing", self._handle, mixture, rows, *shape, stream)

    def log_magnitude(
        self, spectrum: int, out: int, shape: tuple[int, int], epsilon: float, *, half: bool,
        stream: int,
    ) -> None:  # fmt: skip
        """Spectra of ``shape`` (B, T) to the network's input."""
        arguments = (half, spectrum, out, *shape, epsilon, stream)
        self._library.call("log_magnitude", self._handle, *arguments)

    def masking(
        self, spectrum: int, masks: int, rows: int, chunk: tuple[int, int], sources: int,
        frames: int, *, half: bool, stream: int,
    ) -> None:  # fmt: skip
        """Spectra [B, T, F] and masks [B, S, L, T] to spectra of a chunk: its first, how many."""
        arguments = (half, spectrum, masks, rows, *chunk, sources, frames, stream)
        self._library.call("masking", self._handle, *arguments)

    def overlap_add(
        self, rows: int, out: int, chunk: tuple[int, int], samples: int, stream: int
    ) -> None:
        """Frames of a chunk of sources to their samples, in their places among all."""
        self._library.call("overlap_add", self._handle, rows, out, *chunk, samples, stream)

    def inverse(
        self, spectrum: int, masks: int, rows: int, out: int, work: int,
        shape: tuple[int, int, int], samples: int, *, half: bool, stream: int,
    ) -> None:  # fmt: skip
        """Sources of ``shape`` (B, S, T), in chunks as the plugin works them off.

        ``rows`` has room for a chunk; its plan is made.
        """
        batch, sources, frames = shape
        items = batch * sources
        size = self.chunk_of(items, frames)
        for start in range(0, items, size):
            chunk = (min(start, items - size), size)  # the last one is moved back
            self.masking(spectrum, masks, rows, chunk, sources, frames, half=half, stream=stream)
            self.fft(inverse=True, rows=rows, count=size * frames, work=work, stream=stream)
            self.overlap_add(rows, out, chunk, samples, stream)

    def chunk_of(self, items: int, frames: int) -> int:
        """Sources of each chunk, which are as equal as can be."""
        count = -(-items // min(items, self.chunk(frames)))
        return -(-items // count)

    def close(self) -> None:
        """Free plans and tables."""
        handle, self._handle = self._handle, 0
        if handle:
            self._library.call("close", handle)
