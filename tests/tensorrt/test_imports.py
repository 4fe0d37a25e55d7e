"""Nothing of TensorRT, CUDA or ONNX is needed to import, or to be told what is missing."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import importlib, pkgutil, sys
for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_libs", "cuda", "pycuda", "onnx", "torch"):
    sys.modules[name] = None
import sgn_rt.tensorrt
for module in pkgutil.walk_packages(sgn_rt.tensorrt.__path__, "sgn_rt.tensorrt."):
    importlib.import_module(module.name)
import sgn_rt.cli.build, sgn_rt.engines.tensorrt
from sgn_rt.tensorrt.device.factory import find_device, open_device
from sgn_rt.errors import DependencyError
from sgn_rt.tensorrt.bindings import Flavor, is_installed, load
assert find_device() is None
for flavor in Flavor:
    assert not is_installed(flavor)
    for use in (lambda: load(flavor), open_device):
        try:
            use()
        except DependencyError as error:
            assert 'pip install "' in str(error), error
        else:
            raise AssertionError("no error")
"""


def test_every_module_imports_without_them():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
