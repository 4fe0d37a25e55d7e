"""Builds sdist and wheel, and installs the wheel as a user would, in every Python that is here.

``python tests/packaging/wheels.py FOLDER`` (`make wheels`). Each Python gets an environment of its
own, with the package index's own versions of what the extra ``cpu`` needs, and separates a piece of
the music that ships. Of a Python that is not here it is asked whether there are wheels for all that
would be installed: less, and told as less.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.packaging.distributions import build, faults, run

MINORS = (11, 12, 13, 14)
PYENV = Path.home() / ".pyenv/versions"


def interpreter(minor: int) -> Path | None:
    """A Python 3.``minor`` that runs: this one, one of pyenv, or one on PATH."""
    found = [Path(sys.executable), *sorted(PYENV.glob(f"3.{minor}.*/bin/python"), reverse=True)]
    found += [Path(path) for path in [shutil.which(f"python3.{minor}")] if path]
    asked = ("-c", f"import sys; sys.exit(sys.version_info[:2] != (3, {minor}))")
    for path in found:
        if subprocess.run([path, *asked], capture_output=True, check=False).returncode == 0:
            return path.resolve()
    return None


def install(python: Path, wheel: Path, work: Path) -> str:
    """Install and use it; what was used."""
    run(python, "-m", "venv", work / "env", cwd=work)
    inside = work / "env/bin"
    pip = (inside / "python", "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", f"{wheel}[cpu]", cwd=work)
    run(*pip, "check", cwd=work)
    installed = run(*pip, "list", "--format", "freeze", cwd=work).lower()
    assert "torch" not in installed, installed
    run(inside / "python", "-W", "error", "-c", "import sgn_rt", cwd=work)
    where = "import sgn_rt.audio.labelled_music as m; print(m.shipped_music())"
    music = Path(run(inside / "python", "-c", where, cwd=work).strip())
    assert music.is_relative_to(work), music
    mixture = music / "003.mix.flac"
    run(inside / "sgn-rt", "separate", mixture, "-o", "out", "--categories", "tuba", cwd=work)
    assert (work / "out/003.mix/tuba.wav").is_file()
    run(inside / "sgn-rt", "parity", cwd=work)
    packages = ("numpy", "onnxruntime")
    return ", ".join(line for line in installed.split() if line.partition("==")[0] in packages)


def resolve(minor: int, wheel: Path, work: Path) -> str:
    """Whether there are wheels for a Python that is not here; what would be taken."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--dry-run")
    asked = ("--ignore-installed", "--only-binary", ":all:", "--python-version", f"3.{minor}")
    said = run(*pip, *asked, "--target", work / "none", f"{wheel}[cpu]", cwd=work)
    return said.strip().splitlines()[-1]


def main(folder: Path) -> int:
    """Tell of every Python how it went; 1 if it did not in one, or in none at all."""
    folder.mkdir(parents=True, exist_ok=True)
    sdist, wheel = build(folder.resolve())
    failed = faults(sdist, wheel)
    print(*(failed or [f"{wheel.name}, {sdist.name}: whole"]), sep="\n")
    installed = 0
    for minor in MINORS:
        python = interpreter(minor)
        with tempfile.TemporaryDirectory() as work:
            try:
                if python is None:
                    print(f"3.{minor}: not here; {resolve(minor, wheel, Path(work))}")
                else:
                    used = install(python, wheel, Path(work).resolve())
                    print(f"3.{minor}: installed, separates, in parity ({python}; {used})")
                    installed += 1
            except AssertionError as error:
                failed.append(f"3.{minor}")
                print(f"3.{minor}: FAILED: {error}")
    return int(bool(failed) or not installed)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python wheels.py FOLDER")
    sys.exit(main(Path(sys.argv[1])))
