"""``make gpu``: the GPU's report, and the tests that need one, with what lies on the machine alone.

``python tests/gpu.py FILE [PART ...]``. A machine with a GPU may reach no package index, so nothing
is installed: the package is made importable by links, and what needs a package that is not there
says so in the report. NumPy and SciPy have to be there; for part (a) also cuda-python, for its
kernels nvcc; and CuPy, PyTorch, ONNX Runtime, TensorRT each for its own checks.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

TOP = Path(__file__).parents[1]
SITE = TOP / "build" / "gpu"


def importable(site: Path) -> None:
    """Make a folder from which the checkout is imported, with the folders that lie beside it."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
    package = site / "sgn_rt"
    shutil.rmtree(site, ignore_errors=True)
    package.mkdir(parents=True)
    for entry in (TOP / "sgn_rt").iterdir():
        (package / entry.name).symlink_to(entry)
    for name, folder in project["tool"]["setuptools"]["package-dir"].items():
        (package / name.removeprefix("sgn_rt.")).symlink_to(TOP / folder)


def is_there(*packages: str) -> bool:
    """Whether packages can be imported."""
    return all(importlib.util.find_spec(package) is not None for package in packages)


def environment(site: Path) -> dict[str, str]:
    """In which Python imports from there, and not from the working folder."""
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    found = os.pathsep.join(path for path in paths if path)
    return {**os.environ, "PYTHONPATH": found, "PYTHONSAFEPATH": "1"}


def report(path: Path, parts: list[str]) -> int:
    """The report without the command line's packages; graphs are not exported for it."""
    from sgn_rt.checks.check import Place
    from sgn_rt.checks.machine import describe
    from sgn_rt.checks.parts import GROUPS
    from sgn_rt.checks.report import Report, chosen, run_checks
    from sgn_rt.checks.runner import ProcessRunner
    from sgn_rt.model.bundle import Bundle

    bundle = Bundle.open(None)
    made = Report(path, describe(bundle), again=False)
    run_checks(
        chosen(GROUPS, parts or None), ProcessRunner(Place(bundle=bundle.root)), made, tell=print
    )
    print(made.text)
    return 0 if made.held else 1


def marked() -> list[Path]:
    """Files with tests that need a GPU: others may need packages that are not here."""
    files = sorted((TOP / "tests").rglob("test_*.py"))
    return [path for path in files if "pytest.mark.gpu" in path.read_text(encoding="utf-8")]


def main() -> int:
    """Run both; the exit code is that of the first that is not 0."""
    path, *parts = sys.argv[1:]
    importable(SITE)
    python, there = sys.executable, environment(SITE)
    if is_there("click", "rich"):
        options = ["--gpu-part", ",".join(parts)] if parts else []
        command = [python, "-m", "sgn_rt", "doctor", "--gpu-report", path, *options]
        code = subprocess.run(command, env=there, check=False).returncode
    else:
        sys.path.insert(0, str(SITE))
        code = report(Path(path), parts)
    if not is_there("pytest"):
        print("tests: got no pytest, so that those that need a GPU are not run")
        return code
    command = [python, "-m", "pytest", "-m", "gpu", *map(str, marked())]
    tests = subprocess.run(command, env=there, cwd=TOP, check=False).returncode
    return code or tests


if __name__ == "__main__":
    sys.exit(main())
