"""``make gpu`` finds the package in a checkout, and runs where hardly anything is installed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from . import gpu

ROOMS = "import sgn_rt.export, sgn_rt.benchmarks, sgn_rt.cli; print(sgn_rt.export.__file__)"


def test_a_checkout_is_importable_without_being_installed(tmp_path):
    gpu.importable(tmp_path / "site")
    gpu.importable(tmp_path / "site")  # also where an earlier run has left it
    done = subprocess.run(
        [sys.executable, "-c", ROOMS], env=gpu.environment(tmp_path / "site"), cwd=gpu.TOP,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(str(tmp_path / "site"))


BARE = """
import sys
from importlib.abc import MetaPathFinder

class Nothing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Nothing())
sys.path.insert(0, {!r})
import gpu
sys.exit(gpu.report(gpu.Path({!r}), ["tensorrt-rtx/graphs"]))
"""


def test_the_report_needs_numpy_and_scipy_alone(tmp_path):
    """Not the packages of the command line, of audio, of export."""
    absent = ("click", "rich", "soundfile", "soxr", "torch", "onnx", "onnxruntime", "safetensors")
    gpu.importable(tmp_path / "site")
    path = tmp_path / "report.txt"
    done = subprocess.run(
        [sys.executable, "-c", BARE.format(absent, str(gpu.TOP / "tests"), str(path))],
        env=gpu.environment(tmp_path / "site"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout.endswith(path.read_text() + "\n")
    (check,) = json.loads((tmp_path / "report.txt.json").read_text())["checks"]
    assert check["name"] == "tensorrt-rtx/graphs"


def test_both_are_run_and_the_first_failure_is_the_exit_code(monkeypatch, tmp_path):
    commands = []

    def run(command, **more):
        commands.append(command[1:])
        code = {"doctor": 1, "gpu": 3}[command[3 if command[2] == "sgn_rt" else 4]]
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(gpu, "SITE", tmp_path / "site")
    monkeypatch.setattr(gpu.subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "report.txt", "device", "tensorrt"])
    assert gpu.main() == 1
    doctor, tests = commands
    assert doctor == ["-m", "sgn_rt", "doctor", "--gpu-report", "report.txt",
                      "--gpu-part", "device,tensorrt"]  # fmt: skip
    assert tests[:4] == ["-m", "pytest", "-m", "gpu"]
    assert str(gpu.TOP / "tests" / "tensorrt" / "test_gpu.py") in tests

    monkeypatch.setattr(gpu, "is_there", lambda *packages: packages != ("pytest",))
    assert gpu.main() == 1
    assert len(commands) == 3


@pytest.mark.parametrize("packages", [("numpy",), ("numpy", "a_package_that_is_not_there")])
def test_packages_are_looked_for(packages):
    assert gpu.is_there(*packages) == (len(packages) == 1)
