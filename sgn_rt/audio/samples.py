"""Samples from whoever has them: arrays, lists and tensors become float32 of full scale 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.errors import AudioError

LOUDEST: Final = 1e9
"""Magnitude up to which a power spectrum fits float32; no sound is a billion times full scale."""

SMALLEST: Final = 1e-25
"""Magnitude below which a sample is zero: 500 dB below full scale. Processors take up to 100 times
as long for numbers of less than 1.2e-38, and products of smaller samples become such numbers."""

FULL_SCALE: Final = {"int8": 2.0**7, "int16": 2.0**15, "int32": 2.0**31, "uint8": 2.0**7}
"""Of integer PCM, by type; uint8 lies around 128. What NumPy makes of lists of ints, int64, is
none of them: nothing tells their full scale."""

_TYPES: Final = f"floating point of full scale 1, or PCM of {', '.join(FULL_SCALE)}"


def sample_array(samples: Any, *, what: str, channels: int | None = None) -> NDArray[Any]:
    """Whatever holds samples, as an array of channels; shares memory where it can.

    Parameters
    ----------
    samples
        Anything that NumPy takes: arrays, lists, tensors on the CPU; shape = (channels, samples) or
        (samples,), of floats or of a type in `FULL_SCALE`.
    what
        It is called in messages.
    channels
        Expected; None for any number.

    Returns
    -------
    ndarray
        shape = (channels, samples), of the type that it was.

    Raises
    ------
    AudioError
        For everything else.
    """
    if np.ma.isMaskedArray(samples) and np.ma.is_masked(samples):
        raise AudioError(
            f"{what}: got a masked array, expected one without gaps. Fill what is masked."
        )
    if isinstance(samples, bytes | bytearray | memoryview):
        raise AudioError(
            f"{what}: got {type(samples).__name__}, expected samples of a type that is known. "
            "Say what they are: numpy.frombuffer(block, numpy.int16)."
        )
    try:
        array = np.asarray(samples)
    # Whatever a stranger's __array__ raises: TypeError for tensors on a GPU, RuntimeError for those
    # that carry gradients, ValueError for lists of different lengths.
    except Exception as error:
        first, *_ = [*str(error).strip().splitlines(), type(error).__name__]
        raise AudioError(
            f"{what}: got {type(samples).__name__} that is no array on the CPU "
            f"({first.rstrip('.')}), expected shape (channels, samples). Give all channels one "
            "length, and take tensors off the GPU and off the tape: tensor.detach().cpu()."
        ) from error
    if array.ndim == 0 or (array.dtype.kind != "f" and array.dtype.name not in FULL_SCALE):
        raise AudioError(
            f"{what}: got {_kind(samples, array)}, expected {_TYPES}. "
            "Convert the samples: divide integers of other types by their full scale."
        )
    if array.ndim == 1 and channels in (None, 1):
        array = array[None]
    if array.ndim != 2 or len(array) != (len(array) if channels is None else channels):
        expected = "channels" if channels is None else channels
        raise AudioError(
            f"{what}: got shape {array.shape}, expected ({expected}, samples). Put channels first."
        )
    return array


def as_samples(samples: Any, *, what: str, channels: int | None = None, position: int = 0) -> Float:
    """Samples of ours alone: copied first, then checked, so that nobody changes them in between.

    Parameters
    ----------
    samples, what, channels
        As for `sample_array`. Integers are divided by their full scale.
    position
        Of the first sample in its signal, for messages.

    Returns
    -------
    ndarray
        shape = (channels, samples), float32, C-contiguous, finite, zero where its magnitude was
        below `SMALLEST`.

    Raises
    ------
    AudioError
        For what is no array of samples, or not finite, or beyond `LOUDEST`.
    """
    own = scaled(sample_array(samples, what=what, channels=channels))
    magnitude = np.abs(own)
    wrong = ~(magnitude <= LOUDEST)  # so that it is true of nan
    if wrong.any():
        channel, at = np.argwhere(wrong)[0]
        raise AudioError(
            f"{what}: got {own[channel, at]} in channel {channel} at sample {position + at}, "
            "expected finite numbers of full scale 1. Repair the recording."
        )
    return without_tiny(own, magnitude)


def scaled(array: NDArray[Any]) -> Float:
    """A copy, float32, C-contiguous: integers of `FULL_SCALE` divided by it, floats as they are."""
    with np.errstate(over="ignore"):  # becomes infinite
        own = array.astype(np.float32, order="C", copy=True)
    if array.dtype.kind != "f":
        if array.dtype.kind == "u":
            own -= np.float32(FULL_SCALE[array.dtype.name])
        own *= np.float32(1 / FULL_SCALE[array.dtype.name])
    return own


def without_tiny(samples: Float, magnitude: Float | None = None) -> Float:
    """The same array, with zero where the magnitude is below `SMALLEST`; changed in place."""
    tiny = (np.abs(samples) if magnitude is None else magnitude) < SMALLEST
    samples[tiny] = 0.0
    return samples


def residual(mixture: Float, sources: Sequence[Float]) -> Float:
    """What is left of a mixture; of arrays of one shape, in the order of the sources."""
    rest: Float = mixture - sum(sources)
    return rest


def _kind(samples: Any, array: NDArray[Any]) -> str:
    """What was given instead of samples, in a few words."""
    if array.ndim == 0:
        return f"a single {type(samples).__name__}"
    return f"{array.dtype} samples"
