"""The field's figures, by the field's packages where there is one; all in dB.

Signals are shape = (sources, samples); of a source without sound a figure is not defined, and
callers leave it out.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np

from sgn_rt._optional import require
from sgn_rt._types import Float
from sgn_rt.errors import DependencyError

EXTRA: Final = "evaluate"


def bss_eval_v3(references: Float, estimates: Float) -> dict[str, Float]:
    """BSS Eval version 3 of whole signals, filters of 512 taps, without permutation.

    By ``mir_eval``, whose version 0.9 no longer has it; ``fast_bss_eval`` does not run on NumPy 2.

    Returns
    -------
    dict
        ``sdr``, ``sir``, ``sar``: shape = (sources,).
    """
    package: Any = require("mir_eval.separation", extra=EXTRA, purpose="BSS Eval version 3")
    package.np = _OlderNumpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that it will go
        sdr, sir, sar, _ = package.bss_eval_sources(
            np.asarray(references, np.float64), np.asarray(estimates, np.float64),
            compute_permutation=False,
        )  # fmt: skip
    return {"sdr": sdr, "sir": sir, "sar": sar}


class _OlderNumpy:
    """NumPy with the name by which ``mir_eval`` and ``museval`` catch that filters are not unique.

    NumPy 2 no longer has it, and an error would come where least squares are to follow: for a
    source without noise, such as a constant. It is put into their modules alone.
    """

    class linalg:  # noqa: N801 - as NumPy's
        linalg = np.linalg
        LinAlgError = np.linalg.LinAlgError
        solve, lstsq, norm = np.linalg.solve, np.linalg.lstsq, np.linalg.norm

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def museval_v4(references: Float, estimates: Float, sample_rate: int) -> dict[str, Float]:
    """BSS Eval version 4 by ``museval``: frames of a second, filters of the whole track.

    Parameters
    ----------
    references, estimates
        shape = (sources, channels, samples).
    sample_rate
        Hz.

    Returns
    -------
    dict
        ``sdr``, ``isr``, ``sir``, ``sar``: shape = (sources, frames), NaN where a frame has a
        silent source.
    """
    package = require_museval()
    package.metrics.np = _OlderNumpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # divisions by the zeros of silent frames
        found = package.evaluate(
            references.transpose(0, 2, 1), estimates.transpose(0, 2, 1),
            win=sample_rate, hop=sample_rate, mode="v4", padding=False,
        )  # fmt: skip
    return dict(zip(("sdr", "isr", "sir", "sar"), map(np.asarray, found), strict=True))


def require_museval() -> Any:
    """The package ``museval``, which wants ffmpeg on the path.

    Raises
    ------
    DependencyError
        If either is missing.
    """
    try:
        return require("museval", extra=EXTRA, purpose="BSS Eval version 4")
    except RuntimeError as error:  # of stempeg, when it is imported
        raise DependencyError(
            f"BSS Eval version 4 needs the programs ffmpeg and ffprobe: got {error}, expected them "
            "on the path. Install ffmpeg."
        ) from error


def plain_sdr(reference: Float, estimate: Float) -> float:
    """10 log10 of the reference's energy over that of the difference; no filter, no scale."""
    true = np.asarray(reference, np.float64)
    return decibels(np.mean(true**2), np.mean((true - estimate) ** 2))


def decibels(signal: Any, error: Any) -> float:
    """10 log10 of a ratio of energies."""
    with np.errstate(divide="ignore"):
        return float(10.0 * np.log10(np.float64(signal) / np.float64(error)))
