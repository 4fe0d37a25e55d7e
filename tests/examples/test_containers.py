"""What of the container files can be checked without a container engine.

A linter of Dockerfiles (hadolint), and that what they name is there. docs/clients.md says what was
never run.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sgn_rt.cli import serve

TOP = Path(__file__).parents[2]
FOLDER = TOP / "examples" / "docker"
DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))

WITH_REASON = {
    "DL3008": "Debian's archive keeps no older versions: a pinned one cannot be installed for long",
}


def instructions(path: Path) -> list[tuple[str, str]]:
    """Keyword and the rest of each, in order."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.M).replace("\\\n", " ")
    split = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(keyword, re.sub(r"\s+", " ", rest)) for keyword, rest in split]


def test_there_are_two():
    assert [path.name for path in DOCKERFILES] == ["cpu.Dockerfile", "nvidia.Dockerfile"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_a_linter_has_nothing_to_say(path):
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which(
        "hadolint"
    )
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    ignored = [f"--ignore={rule}" for rule in WITH_REASON]
    done = subprocess.run([hadolint, *ignored, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_what_an_image_is_made_of_is_there(path):
    lines = instructions(path)
    ignore = path.with_name(f"{path.name}.dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copied = [
        source
        for keyword, rest in lines
        if keyword == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert {source.removeprefix("./") for source in copied} == let_in
    assert all((TOP / source).exists() for source in copied)
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r'"\.\[([\w,-]+)\]"', path.read_text())
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert all(file in copied for file in (project["readme"], *project["license-files"]))
    bases = [rest.split()[0] for keyword, rest in lines if keyword == "FROM"]
    assert all(re.search(r":\d+\.\d+", base) for base in bases)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_what_an_image_starts_is_understood(path, tmp_path, monkeypatch):
    last = dict(instructions(path))
    assert last["USER"] == "10001:10001"
    assert json.loads(last["ENTRYPOINT"]) == ["sgn-rt"]
    command, *arguments = json.loads(last["CMD"])
    assert command == "serve"
    token = tmp_path / "sgn_rt_token"
    token.write_text("a-token-of-many-letters")
    arguments = [str(token) if value.startswith("/run/secrets/") else value for value in arguments]
    context = serve.command.make_context("serve", arguments)
    assert context.params["host"] == "0.0.0.0"
    assert context.params["token_file"] == token
    assert str(context.params["spool"]) in json.loads(last["VOLUME"] if "[" in last["VOLUME"]
                                                     else f'["{last["VOLUME"]}"]')  # fmt: skip
    assert f"http://127.0.0.1:{context.params['port']}/readyz" in last["HEALTHCHECK"]
    assert last["EXPOSE"] == str(context.params["port"])


def test_the_compose_file_names_what_there_is():
    yaml = pytest.importorskip("yaml")
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"cpu", "nvidia"}
    for name, service in services.items():
        build = service["build"]
        assert (FOLDER / build["context"]).resolve() == TOP
        assert (TOP / build["dockerfile"]).name == f"{name}.Dockerfile"
        assert (TOP / build["dockerfile"]).is_file()
        assert service["read_only"]
        assert service["ports"] == ["127.0.0.1:8000:8000"]
        assert set(service["secrets"]) == set(compose["secrets"])
        named = [volume for volume in service["volumes"] if isinstance(volume, str)]
        assert {volume.partition(":")[0] for volume in named} <= set(compose["volumes"])
        ours = dict(instructions(TOP / build["dockerfile"]))["VOLUME"]
        assert all(volume.partition(":")[2] in ours for volume in named)
