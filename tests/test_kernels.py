"""Numbers hold on other processors: under the oldest kernels that the libraries have."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("torch")

spec = importlib.util.spec_from_file_location("kernels", Path(__file__).with_name("kernels.py"))
kernels = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kernels)

CHOSEN = """
import numpy, torch
found = numpy.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
print(torch.backends.cpu.get_cpu_capability(), len(found), torch.get_num_threads())
"""


def test_the_libraries_obey():
    """Or the tests under other kernels are the same test again."""
    assert kernels.run("SSE, one thread", "-c", CHOSEN).stdout.split() == ["DEFAULT", "0", "1"]


def test_numbers_hold_under_the_oldest_kernels():
    done = kernels.run_tests("SSE, one thread", kernels.QUICK)
    assert done.returncode == 0, done.stdout[-5000:]
