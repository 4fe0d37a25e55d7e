"""The host tests again, on a library built with AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sgn_rt.model.contract import PluginOp

from .conftest import HOST_NAME

HERE = Path(__file__).parent
SANITIZERS = "address,undefined"
LARGEST = "N1000000 or N65279 or scipy or soxr or tones or nyquist"
"""Left out: the same code on more rows and samples, minutes instead of seconds."""


@pytest.fixture(scope="module")
def sanitized(build_driver, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which Python loads the sanitized library."""
    runtime = subprocess.run(
        [shutil.which("g++") or "c++", "-print-file-name=libasan.so"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    library = build_driver(
        tmp_path_factory.mktemp("plugins-sanitized"), HOST_NAME, {"SGN_RT_SANITIZE": SANITIZERS}
    )
    return os.environ | {
        # Python itself is not instrumented: the runtime must be there first, and its leaks are none
        # of ours (plans and device memory are counted by the `host` fixture). Exceptions thrown
        # below are caught by the library itself.
        "LD_PRELOAD": f"{runtime} {Path(runtime).with_name('libstdc++.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:detect_stack_use_after_return=0",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "SGN_RT_PLUGIN_HOST_LIBRARY": str(library),
    }


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parent.parent,
    )


def test_host_tests_are_clean(sanitized: dict[str, str]) -> None:
    done = run(
        sanitized, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", f"not ({LARGEST})",
        *(str(HERE / f"test_{name}.py") for name in ("parity", "interface", "finish", "polyphase")),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_the_sanitizer_is_awake(sanitized: dict[str, str]) -> None:
    """An output one row too small is caught."""
    script = f"""
import sys
sys.path.insert(0, {str(HERE.parent.parent)!r})
import importlib.util, numpy as np
spec = importlib.util.spec_from_file_location("harness", {str(HERE / "harness.py")!r})
harness = importlib.util.module_from_spec(spec)
sys.modules["harness"] = harness
spec.loader.exec_module(harness)
host = harness.Host({sanitized["SGN_RT_PLUGIN_HOST_LIBRARY"]!r})
op = harness.PluginOp({PluginOp.STFT.value!r})
fields = dict(n_fft=64, hop_length=16, frequency_bins=32, log_epsilon=1e-5, dtype=1)
with host.create(op, fields) as node, node.attach() as attached:
    tensor = harness.TensorDesc.of
    inputs = [tensor((1, 640), 0)]
    outputs = [tensor((1, 41, 33, 2), 0), tensor((1, 1, 32, 41), 0)]
    attached.shape_change(inputs, outputs)
    small = tensor((1, 40, 33, 2), 0)
    with host.tensor(inputs[0]) as x, host.tensor(small) as y, host.tensor(outputs[1]) as z:
        with host.tensor(tensor((4 << 20,), 0)) as w:
            x[1][...] = 0
            attached.enqueue(inputs, outputs, [x[0]], [y[0], z[0]], w[0])
print("survived")
"""
    done = run(sanitized, "-c", script)
    assert "heap-buffer-overflow" in done.stderr, done.stdout + done.stderr
    assert "framingKernel" in done.stderr
    assert "survived" not in done.stdout
