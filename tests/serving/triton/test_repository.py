"""A model repository appears whole or not at all, and replaces nothing that is not its own."""

from __future__ import annotations

import json

import pytest

from sgn_rt.errors import BundleError, ConfigError, DependencyError
from sgn_rt.model.bundle import Bundle
from sgn_rt.serving.triton import environment, repository
from sgn_rt.serving.triton.repository import RECORD, Part, write_repository

from .conftest import SMALL


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "models"


def test_the_command_writes_all_that_a_bundle_has(run, target, tree):
    done = run("triton", SMALL, "-o", target, "--engine", "onnxruntime", "--slots", 3)
    assert done.code == 0, done.err
    assert "windows, live, core_fp32_onnx" in done.out
    files = tree(target)
    for name in ("README.md", RECORD, "bundle/bundle.json", "models/windows/config.pbtxt",
                 "models/live/1/model.py", "models/core_fp32_onnx/1/model.onnx"):  # fmt: skip
        assert name in files
    readme = (target / "README.md").read_text()
    for part in ("--load-model=windows", "--load-model=live", "numpy<2", "one of 3 slots"):
        assert part in readme
    assert "plugins=" not in readme
    assert Bundle.open(target / "bundle").identity == Bundle.open(SMALL).identity
    assert list(target.parent.iterdir()) == [target]


def test_parts_are_chosen(run, target, fails, small_bundle):
    assert run("triton", SMALL, "-o", target, "--models", "onnx").code == 0
    assert [path.name for path in (target / "models").iterdir()] == ["core_fp32_onnx"]
    assert not (target / "bundle").exists()
    with fails(ConfigError, "tensorrt", "expected some of windows, live, onnx"):
        write_repository(small_bundle, target.parent / "other", parts=[Part.TENSORRT])
    assert not (target.parent / "other").exists()


def test_nothing_is_left_of_one_that_could_not_be_written(
    small_bundle, target, monkeypatch, tree, tmp_path
):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(repository, "_copy_bundle", full)
    with pytest.raises(BundleError, match="No space left"):
        write_repository(small_bundle, target)
    assert tree(tmp_path) == []


def test_one_of_ours_is_replaced_where_that_is_wanted(small_bundle, target, fails):
    write_repository(small_bundle, target, parts=[Part.WINDOWS])
    with fails(BundleError, "already", "--overwrite"):
        write_repository(small_bundle, target)
    (target / "models/windows/1/__pycache__").mkdir()  # the server's Python
    (target / "models/windows/1/__pycache__/model.pyc").write_bytes(b"")
    write_repository(small_bundle, target, parts=[Part.LIVE], overwrite=True)
    assert json.loads((target / RECORD).read_text())["models"] == ["live"]
    assert not (target / "models/windows").exists()


@pytest.mark.parametrize("path", ["models/windows/config.pbtxt", "models/mine/config.pbtxt"])
def test_what_somebody_changed_is_not_lost(small_bundle, target, fails, path):
    write_repository(small_bundle, target)
    (target / path).parent.mkdir(exist_ok=True)
    (target / path).write_text("name: 'mine'")
    with fails(BundleError, "changed since", path):
        write_repository(small_bundle, target, overwrite=True)
    assert (target / path).read_text() == "name: 'mine'"


def test_what_is_no_repository_is_not_touched(small_bundle, target, fails, tmp_path):
    target.mkdir(parents=True)
    write_repository(small_bundle, target, parts=[Part.WINDOWS])  # an empty folder is free
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.txt").write_text("mine")
    link = tmp_path / "link"
    link.symlink_to(target)
    for place in (other, other / "a.txt", link):
        with fails(BundleError, "no model repository of sgn-rt", "another"):
            write_repository(small_bundle, place, overwrite=True)
    assert (other / "a.txt").read_text() == "mine"


def test_a_numpy_that_triton_cannot_read_is_refused(monkeypatch, fails):
    monkeypatch.delenv(environment.NUMPY_VARIABLE, raising=False)
    monkeypatch.setattr(environment.np, "__version__", "2.4.0")
    with fails(DependencyError, "NumPy 2.4.0", "pip install 'numpy<2'"):
        environment.expect_readable_arrays()
    monkeypatch.setenv(environment.NUMPY_VARIABLE, "1")
    environment.expect_readable_arrays()
    monkeypatch.delenv(environment.NUMPY_VARIABLE)
    monkeypatch.setattr(environment.np, "__version__", "1.26.4")
    environment.expect_readable_arrays()
