"""Separating within a program of yours: a recording in, an array for each category out.

    python examples/embed.py mix.flac

Needs `pip install "sgn-rt[cpu]"`, and no PyTorch. The separator is opened once and serves every
recording, from several threads as well.
"""

from __future__ import annotations

import sys

import numpy as np

import sgn_rt


def loudness(samples: np.ndarray) -> float:
    """RMS of samples [channels, samples], dB of full scale."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return 10.0 * np.log10(max(power, 1e-12))


def main(recordings: list[str]) -> int:
    """Tell of every recording what is in it; the number of those that failed."""
    failed = 0
    with sgn_rt.Separator.open() as separator:
        for recording in recordings:
            try:
                result = separator.separate(recording, residual=True)
            except sgn_rt.SgnError as error:  # says what was got, expected, and what to do
                print(error, file=sys.stderr)
                failed += 1
                continue
            print(f"{recording}: {result.duration_s:.1f} s by {result.engine}")
            for name, samples in result.sources.items():
                print(f"  {name:16} {loudness(samples):6.1f} dBFS")
    return failed


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python embed.py RECORDING...")
    sys.exit(min(main(sys.argv[1:]), 1))
