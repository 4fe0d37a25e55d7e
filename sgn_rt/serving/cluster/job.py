"""A run as a job of a Ray cluster on which sgn-rt need not be installed: its wheel goes along."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sgn_rt
from sgn_rt._optional import installed_version
from sgn_rt.errors import ConfigError, DependencyError

AUTH_MODE: Final = "RAY_AUTH_MODE"
"""Ray's own variable. Clusters have had tokens since 2.60; a client has to be told."""

_WORKING_DIR: Final = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}"
"""What Ray puts the working folder's place in for, on each node."""

_SOURCES: Final = ("pyproject.toml", "README.md", "LICENSE", "sgn_rt", "export", "benchmarks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A line of ``ray job submit``.

    Attributes
    ----------
    address
        Of the cluster's dashboard, as ``http://head:8265``.
    folder
        What is sent to the cluster: it holds the wheel, and should hold nothing else.
    wheel
        Name of the wheel in it.
    extras
        Of sgn-rt, that the nodes are to install with it, as ``cpu``.
    arguments
        Of ``sgn-rt``, from the command on.
    """

    address: str
    folder: Path
    wheel: str
    extras: Sequence[str]
    arguments: Sequence[str]

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the command."""
        return {AUTH_MODE: os.environ.get(AUTH_MODE, "token")}

    @property
    def command(self) -> list[str]:
        """Arguments, ``ray`` the first of them."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        environment = {"pip": [f"{_WORKING_DIR}/{self.wheel}{extras}"]}
        return [
            "ray", "job", "submit", "--address", self.address,
            "--working-dir", str(self.folder),
            "--runtime-env-json", json.dumps(environment),
            "--", "python", "-m", "sgn_rt", *self.arguments,
        ]  # fmt: skip

    @property
    def line(self) -> str:
        """For a shell."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*variables, shlex.join(self.command)])

    def submit(self) -> int:
        """Run it; its exit code. What it prints goes where this process's goes.

        Raises
        ------
        DependencyError
            If there is no ``ray`` here.
        """
        beside = Path(sys.executable).parent / "ray"
        ray = str(beside) if beside.is_file() else shutil.which("ray")
        if ray is None:
            raise DependencyError(
                "ray: got no such command, expected it to submit a job. Install it with: "
                'pip install "ray[default]"'
            )
        variables = os.environ | self.environment
        return subprocess.run([ray, *self.command[1:]], env=variables, check=False).returncode


def put_wheel(folder: Path, wheel: Path | None) -> str:
    """Put a wheel of sgn-rt into a folder of its own.

    Parameters
    ----------
    folder
        Made if missing.
    wheel
        The wheel; None to build it of the sources that this package runs from.

    Returns
    -------
    str
        Its name.

    Raises
    ------
    ConfigError
        If there is no such wheel, the folder holds something else, or there are no sources.
    """
    if wheel is not None and not (wheel.suffix == ".whl" and wheel.is_file()):
        raise ConfigError(f"--wheel: got {wheel}, expected a wheel. Name one of sgn-rt.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sgn-rt-") as place:
        made = _built(Path(place)) if wheel is None else wheel
        others = [each.name for each in folder.iterdir() if each.name != made.name]
        if others:
            raise ConfigError(
                f"{folder}: got {others[0]} in it, expected nothing but a wheel, as all of it is "
                "sent to every node. Name another folder."
            )
        if not (
            made.exists() and (folder / made.name).exists() and made.samefile(folder / made.name)
        ):
            shutil.copyfile(made, folder / made.name)
        return made.name


def _built(place: Path) -> Path:
    """A wheel of the checkout, built from a copy, so that nothing is left in it."""
    top = Path(sgn_rt.__file__).parents[1]
    if not (top / "pyproject.toml").is_file():
        raise ConfigError(
            "--wheel: got none, and sgn-rt does not run from its sources, expected one of them. "
            "Name the wheel that is installed here; pip download sgn-rt fetches it from an index."
        )
    sources = place / "sources"
    sources.mkdir()
    for name in _SOURCES:
        if (top / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(top / name, sources / name, ignore=ignored)
        elif (top / name).is_file():
            shutil.copyfile(top / name, sources / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--wheel-dir", str(place), str(sources)]
    if int((installed_version("setuptools") or "0").partition(".")[0]) >= _SETUPTOOLS:
        command.insert(4, "--no-build-isolation")  # needs no network
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(place.glob("*.whl"))
    if done.returncode or not found:
        raise ConfigError(
            f"--wheel: got none, and building one failed ({done.stderr.strip()[-500:]}), expected "
            "one of them. Build it by hand, and name it."
        )
    return found[0]


_SETUPTOOLS: Final = 77
"""As ``pyproject.toml`` requires."""
