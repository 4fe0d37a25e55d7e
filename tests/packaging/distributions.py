"""Sdist and wheel: built from a copy of the sources, and what has to be in them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).parents[2]
HOMES = {"sgn_rt": "sgn_rt", "benchmarks": "sgn_rt/benchmarks", "export": "sgn_rt/export"}
"""Folder of the sources -> where it is in the package."""
_MADE = ("build", "dist", "demo")
"""Folders beside the sources that `make` makes; sgn_rt.tensorrt.build is another."""


def _not_sources(folder: str, names: list[str]) -> set[str]:
    made = {name for name in names if name == "__pycache__" or name.endswith(".egg-info")}
    if Path(folder) == TOP:
        made |= {name for name in names if name in _MADE or name.startswith(".")}
    return made


def build(folder: Path, *options: str) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it, into a folder; nothing is left in the sources."""
    sources = folder / "sources"
    shutil.copytree(TOP, sources, ignore=_not_sources)
    try:
        run(sys.executable, "-m", "build", *options, "--outdir", folder, sources, cwd=folder)
    finally:
        shutil.rmtree(sources)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel, cwd=folder)
    return sdist, wheel


def run(*command: object, cwd: Path, **options: object) -> str:
    """Run a command; what it says is shown where it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False,
        **options,
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-4000:]
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}\n{said}")
    return done.stdout


def expected() -> set[str]:
    """Files of the package: all that lies in its folders, compiled files apart."""

    def of(folder: str, home: str) -> Iterator[str]:
        for path in (TOP / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{home}/{path.relative_to(TOP / folder).as_posix()}"

    return {name for pair in HOMES.items() for name in of(*pair)}


def in_wheel(wheel: Path) -> tuple[set[str], dict[str, str]]:
    """Files of the package in a wheel, and the others by name with their content."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        package = {name for name in names if name.startswith("sgn_rt/")}
        return package, {name: archive.read(name).decode() for name in names - package}


def in_sdist(sdist: Path) -> set[str]:
    """Files of an sdist, relative to its one folder."""
    with tarfile.open(sdist) as archive:
        return {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}


def faults(sdist: Path, wheel: Path) -> list[str]:
    """What is wrong with the two; empty where nothing is."""
    found, needed = in_wheel(wheel), expected()
    told = [f"wheel: no {name}" for name in sorted(needed - found[0])]
    told += [
        f"wheel: {name}, which is no file of the package" for name in sorted(found[0] - needed)
    ]
    others = {name.partition("/")[2]: content for name, content in found[1].items()}
    for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"):
        if name not in others:
            told.append(f"wheel: no {name}")
    strangers = [name for name in found[1] if ".dist-info/" not in name]
    told += [f"wheel: {name} beside the package" for name in strangers]
    back = {home: folder for folder, home in HOMES.items()}
    inside = in_sdist(sdist)
    for name in sorted(needed):
        home = next(h for h in sorted(back, key=len, reverse=True) if name.startswith(f"{h}/"))
        if f"{back[home]}{name.removeprefix(home)}" not in inside:
            told.append(f"sdist: no {name}")
    told += [f"sdist: no {name}" for name in ("LICENSE", "README.md", "pyproject.toml")
             if name not in inside]  # fmt: skip
    return told
