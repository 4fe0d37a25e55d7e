"""The line of a job, by a `ray` that writes down what it is called with."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sgn_rt

AWKWARD = '/data/it\'s $HOME; "x" *'


@pytest.fixture
def wheel(tmp_path) -> Path:
    path = tmp_path / "sgn_rt-0.1.0-py3-none-any.whl"
    path.write_bytes(b"wheel")
    return path


@pytest.fixture
def ray_command(tmp_path, monkeypatch) -> Path:
    """Where a `ray`, the only one, writes its arguments and what it was told of tokens."""
    scripts = tmp_path / "bin"
    scripts.mkdir()
    told = tmp_path / "told.json"
    script = scripts / "ray"
    script.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"folder = sys.argv[sys.argv.index('--working-dir') + 1]\n"
        f"told = [sys.argv[1:], os.environ.get('RAY_AUTH_MODE'), os.listdir(folder)]\n"
        f"json.dump(told, open({str(told)!r}, 'w'))\nsys.exit(7)\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(scripts), prepend=":")
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    return told


@pytest.fixture(autouse=True)
def _address(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_the_line_is_what_a_shell_takes(run, wheel, tmp_path, ray_command):
    folder = tmp_path / "a job"
    result = run("ray-job", AWKWARD, "-o", "/data/out", "--wheel", wheel, "--working-dir", folder)
    assert result.code == 0, result.err
    done = subprocess.run(["sh", "-c", result.out], check=False, capture_output=True)
    assert done.returncode == 7, done.stderr
    arguments, auth, sent = json.loads(ray_command.read_text())
    at = arguments.index("--")
    assert arguments[at + 1 :] == [
        "python", "-m", "sgn_rt", "separate", AWKWARD, "-o", "/data/out", "--ray", "auto",
    ]  # fmt: skip
    environment = json.loads(arguments[arguments.index("--runtime-env-json") + 1])
    place = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}"
    assert environment == {"pip": [f"{place}/{wheel.name}[cpu]"]}
    assert auth == "token"
    assert sent == [wheel.name]


def test_submitting_runs_it_and_leaves_nothing(run, wheel, ray_command, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    result = run("ray-job", "/in", "-o", "/out", "--wheel", wheel, "--submit", "--engine", "torch",
                 "--address", "http://head:8265", "--extras", "gpu,media")  # fmt: skip
    assert result.code == 7  # the job's
    arguments, auth, sent = json.loads(ray_command.read_text())
    assert arguments[arguments.index("--address") + 1] == "http://head:8265"
    assert "[gpu,media]" in arguments[arguments.index("--runtime-env-json") + 1]
    assert arguments[-4:] == ["--engine", "torch", "--ray", "auto"]
    assert (auth, sent) == ("disabled", [wheel.name])
    assert not Path(arguments[arguments.index("--working-dir") + 1]).exists()


def test_a_cluster_that_is_named_stays(run, wheel, tmp_path):
    for given in (("--ray", "head:6379"), ("--ray=head:6379",)):
        result = run("ray-job", "/in", "-o", "/out", "--wheel", wheel, "--working-dir",
                     tmp_path / "job", *given)  # fmt: skip
        assert shlex.split(result.out)[-len(given) :] == list(given)


REFUSED = {
    "relative input": (["in", "-o", "/out"], "expected an absolute path"),
    "relative output": (["/in", "-o", "out"], "expected an absolute path"),
    "no output": (["/in"], "Missing option"),
    "no input": (["-o", "/out"], "Missing argument"),
    "unknown option": (["/in", "-o", "/out", "--nothing"], "No such option"),
    "no wheel": (["/in", "-o", "/out", "--wheel", "none.whl"], "expected a wheel"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_separate_would_refuse(run, wheel, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    arguments, message = REFUSED[name]
    more = [] if "--wheel" in arguments else ["--wheel", wheel]
    result = run("ray-job", *arguments, *more)
    assert result.code == 2
    assert message in result.err


def test_a_folder_with_something_else_is_not_sent(run, wheel):
    result = run("ray-job", "/in", "-o", "/out", "--wheel", wheel, "--working-dir", Path.home())
    assert result.code == 2
    assert "nothing but a wheel" in result.err


def test_the_wheel_of_the_sources(run, tmp_path, monkeypatch):
    top = Path(sgn_rt.__file__).parents[1]
    monkeypatch.chdir(tmp_path)
    before = set(os.listdir(top))
    result = run("ray-job", "/in", "-o", "/out")
    if not (top / "pyproject.toml").is_file():  # installed, and not from a checkout
        assert "does not run from its sources" in result.err
        return
    assert result.code == 0, result.err
    assert set(os.listdir(top)) == before
    (made,) = (tmp_path / "sgn-rt-job").iterdir()
    names = zipfile.ZipFile(made).namelist()
    assert {"sgn_rt/cli/ray_job.py", "sgn_rt/export/writer.py"} <= set(names)
    assert "sgn_rt/data/instruments/checkpoint.safetensors" in names
