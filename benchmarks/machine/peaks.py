"""What the processors do at most, measured: a matrix product, and a copy, on the same threads.

``python -m sgn_rt.benchmarks.machine.peaks THREADS``: in a process of its own, as NumPy's library
chooses its threads when it is loaded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sgn_rt.benchmarks.machine.environment import last_level_cache, memory_bytes
from sgn_rt.errors import EngineError

GEMM_SIZE: Final = 2048
REPEATS: Final = 10
_LEAST_BYTES, _MOST_BYTES = 64 << 20, 1 << 30
_VARIABLES: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS",
                     "VECLIB_MAXIMUM_THREADS")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """Of the processors in use.

    Attributes
    ----------
    flops
        FLOP/s of a float32 matrix product.
    bytes_per_s
        Read and written by a copy.
    how
        Quantity -> how it was measured.
    """

    flops: float
    bytes_per_s: float
    how: dict[str, str]


def _best(run: Callable[[], object], threads: int, repeats: int) -> float:
    """Seconds of the fastest run, as if its threads were never interrupted.

    By processor time, as the time of a network is taken, too: who else uses the machine takes less
    of it than of the clock on the wall.
    """
    times = []
    for _ in range(1 + repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times) / threads


def gemm_flops(threads: int, size: int = GEMM_SIZE, repeats: int = REPEATS) -> float:
    """FLOP/s of NumPy's float32 product of square matrices."""
    rng = np.random.default_rng(0)
    a, b = (rng.random((size, size), np.float32) for _ in range(2))
    out = np.empty_like(a)
    return 2.0 * size**3 / _best(lambda: np.matmul(a, b, out=out), threads, repeats)


def copy_rate(threads: int, size: int, repeats: int = REPEATS) -> float:
    """Bytes/s, read and written together, of copies of ``size`` bytes on all threads at once."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    parts = [slice(size * i // threads, size * (i + 1) // threads) for i in range(threads)]

    def copy(part: slice) -> None:
        np.copyto(target[part], source[part])

    with ThreadPoolExecutor(threads) as pool:
        return 2.0 * size / _best(lambda: list(pool.map(copy, parts)), threads, repeats)


def copy_size() -> int:
    """Bytes that no cache holds, and that the machine can spare."""
    wanted = 4 * (last_level_cache() or 0)
    spared = (memory_bytes() or 8 * _LEAST_BYTES) // 8
    return max(_LEAST_BYTES, min(wanted, _MOST_BYTES, spared))


def measure(threads: int, *, quick: bool = False) -> Peaks:
    """Measure both, in a process of its own.

    Raises
    ------
    EngineError
        If the process fails.
    """
    environment = os.environ | dict.fromkeys(_VARIABLES, str(threads))
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__, json.dumps([threads, quick])],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EngineError(
            f"peak of the processors: got exit code {done.returncode} ({last}), expected figures. "
            f"Run `{sys.executable} -m {__name__} [{threads},true]` to see what is wrong."
        )
    return Peaks(**json.loads(done.stdout.splitlines()[-1]))


def main(threads: int, quick: bool) -> dict[str, Any]:
    """Measure, in this process."""
    size, repeats = (GEMM_SIZE // 2, 2) if quick else (GEMM_SIZE, REPEATS)
    room = _LEAST_BYTES if quick else copy_size()
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    of = f"on {threads} thread{'s' * (threads != 1)}, processor time, best of {repeats + 1}"
    return {
        "flops": gemm_flops(threads, size, repeats),
        "bytes_per_s": copy_rate(threads, room, repeats),
        "how": {
            "arithmetic": f"float32 product of {size} x {size} matrices by NumPy "
            f"({blas.get('name')} {blas.get('version')}) {of}",
            "memory": f"copy of {room >> 20} MiB by NumPy {of}",
        },
    }


if __name__ == "__main__":
    print(json.dumps(main(*json.loads(sys.argv[1]))))
