"""The parity tests again, on a GPU: the kernels as nvcc compiles them, cuFFT, and CUDA graphs.

Skipped without a GPU, failing instead where SGN_RT_REQUIRE_GPU=1.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sgn_rt.tensorrt.plugins.headers import cufft_folder

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def gpu_library(
    toolchain: SimpleNamespace, build_driver, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The driver built for a GPU; sm_75 where there is none, to see that it builds."""
    architecture = "native" if Path("/dev/nvidiactl").exists() else "75"
    options = {"SGN_RT_GPU": "ON", "SGN_RT_CUDA_ARCHITECTURES": architecture}
    return build_driver(tmp_path_factory.mktemp("plugins-gpu"), "libsgn_rt_plugins_gpu.so", options)


@pytest.mark.gpu
def test_parity_on_the_gpu(gpu_library: Path) -> None:
    if ctypes.CDLL(str(gpu_library)).sgn_test_gpus() == 0:
        if os.environ.get("SGN_RT_REQUIRE_GPU") == "1":
            pytest.fail("no GPU (SGN_RT_REQUIRE_GPU=1)")
        pytest.skip("no GPU")
    folder = cufft_folder()
    paths = [str(folder)] if folder else []
    environment = os.environ | {
        "SGN_RT_PLUGIN_HOST_LIBRARY": str(gpu_library),
        "LD_LIBRARY_PATH": os.pathsep.join([*paths, os.environ.get("LD_LIBRARY_PATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(HERE / "test_parity.py")],
        env=environment, capture_output=True, text=True, check=False, cwd=HERE.parent.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
