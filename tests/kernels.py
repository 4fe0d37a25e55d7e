"""The tests of numbers under other kernels of the same libraries, as other processors choose them.

``make test-kernels`` (``python tests/kernels.py``) runs them all, a process for each row of
`SETTINGS`; the suite itself runs the quickest of them under the oldest kernels. PyTorch (ATen,
oneDNN, MKL), NumPy and OpenBLAS take their choice from the environment. ONNX Runtime offers threads
alone: its kernels are those of the processor.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from numpy._core import _multiarray_umath as numpy_cpu

TESTS = Path(__file__).parent
QUICK = ("reference/test_golden.py", "model/test_transform.py", "audio/test_resample.py")
NUMERIC = (
    *QUICK,
    "parity",
    "streaming",
    "export/test_graph_parity.py",
    "export/test_layerwise.py",
    "export/test_plugin_graph.py",
    "export/test_shared_weights.py",
    "test_embedded.py",
    "test_product.py",
    "test_separator.py",
)
"""Whatever compares numbers with a tolerance, on the CPU."""

# Beyond what every processor has that NumPy runs on.
_NUMPY_EXTENSIONS = [
    name for name in numpy_cpu.__cpu_dispatch__ if numpy_cpu.__cpu_features__[name]
]

SSE = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": " ".join(_NUMPY_EXTENSIONS),
}
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": " ".join(set(_NUMPY_EXTENSIONS) - {"X86_V3", "AVX2", "FMA3"}),
}
AVX512 = {
    "ATEN_CPU_CAPABILITY": "avx512",
    "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
    "MKL_CBWR": "AVX512",
    "OPENBLAS_CORETYPE": "SkylakeX",
}
ONE, TWO = {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "2"}
"""Threads of PyTorch and of OpenBLAS."""

SETTINGS: dict[str, dict[str, str]] = {
    "as it is": {},
    "SSE, one thread": SSE | ONE,
    "SSE, two threads": SSE | TWO,
    "AVX2, one thread": AVX2 | ONE,
    "AVX2, two threads": AVX2 | TWO,
    "AVX-512, one thread": AVX512 | ONE,
    "AVX-512, two threads": AVX512 | TWO,
    # One library alone, so that the oldest of one meets the newest of another.
    **{f"ATen {name}": {"ATEN_CPU_CAPABILITY": name} for name in ("default", "avx2", "avx512")},
    **{f"oneDNN {name}": {"ONEDNN_MAX_CPU_ISA": name} for name in ("SSE41", "AVX2", "AVX512_CORE")},
    "NumPy baseline": {"NPY_DISABLE_CPU_FEATURES": SSE["NPY_DISABLE_CPU_FEATURES"]},
    "OpenBLAS Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
}


def run(setting: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with arguments, under the kernels of a setting; what it wrote is in ``stdout``."""
    known = {name for values in SETTINGS.values() for name in values}
    inherited = {name: value for name, value in os.environ.items() if name not in known}
    return subprocess.run(
        [sys.executable, *arguments], env=inherited | SETTINGS[setting], text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=TESTS.parent,
    )  # fmt: skip


def run_tests(setting: str, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Tests, by their paths in this folder, under the kernels of a setting."""
    paths = [str(TESTS / name) for name in tests]
    # -P: of the installed package, as by the command pytest, whatever the working folder.
    return run(setting, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths)


def main(arguments: list[str]) -> int:
    """Run tests (all, or those named) under every setting; how many settings failed."""
    failed = 0
    for setting in SETTINGS:
        done = run_tests(setting, tuple(arguments) or NUMERIC)
        print(f"{setting}: {done.stdout.strip().splitlines()[-1]}", flush=True)
        if done.returncode:
            failed += 1
            print(done.stdout, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
