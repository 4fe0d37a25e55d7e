"""Progress, layers and versions as numbers."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from sgn_rt.errors import DependencyError
from sgn_rt.tensorrt import bindings as flavors
from sgn_rt.tensorrt.bindings import Flavor, is_installed, version_numbers
from sgn_rt.tensorrt.build.callbacks import Log, ProgressTree
from sgn_rt.tensorrt.build.engine_summary import Layer, layers_from_inspector


def test_nested_progress_is_one_growing_number():
    told = []
    tree = ProgressTree(told.append)
    tree.start("build", None, 2)
    tree.step("build", 0)
    tree.start("inner", "build", 4)
    for step in range(4):
        tree.step("inner", step)
    tree.start("deep", "inner", 2)  # starts after its parent's steps are done
    tree.step("deep", 0)
    tree.finish("deep")
    tree.finish("inner")
    tree.step("build", 1)
    tree.finish("build")
    tree.step("nobody started this", 0)
    assert told == sorted(told)
    assert told[:5] == [0.5, 0.625, 0.75, 0.875, 1.0]
    assert told[-1] == 1.0


def test_a_failure_stops_every_later_step_too():
    def fail(done):
        raise ValueError("once")

    tree = ProgressTree(fail)
    tree.start("build", None, 2)
    assert tree.step("build", 0) is False
    assert tree.step("build", 1) is False
    with pytest.raises(ValueError, match="once"):
        tree.reraise()


def test_a_log_of_errors_does_not_grow():
    log = Log(errors_only=True)
    for number in range(1000):
        log.hear(f"call {number}", is_error=False)
        log.hear(f"failure {number}", is_error=True)
    assert log.messages == []
    assert log.reason == "failure 997 / failure 998 / failure 999"


def test_the_inspectors_layers_with_and_without_detail():
    text = '{"Layers": [{"Name": "a", "LayerType": "gemm", "TacticName": "t"}, "b"]}'
    assert layers_from_inspector(text) == [Layer("a", "gemm", "t"), Layer("b", "")]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("10.13.3.9", (10, 13, 3, 9)), ("1.7.1.116", (1, 7, 1, 116)), ("10.8.0.post1", (10, 8, 0))],
)
def test_versions_are_numbers(text, numbers):
    assert version_numbers(text) == numbers
    assert version_numbers("10.9") < version_numbers("10.13")


@pytest.fixture
def unloaded():
    flavors.load.cache_clear()
    yield
    flavors.load.cache_clear()


def test_stubs_alone_are_no_tensorrt(unloaded, monkeypatch, tmp_path):
    (tmp_path / "tensorrt").mkdir()
    (tmp_path / "tensorrt" / "__init__.pyi").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    assert not is_installed(Flavor.TENSORRT)
    with pytest.raises(DependencyError, match="type stubs without code"):
        flavors.load(Flavor.TENSORRT)
    sys.modules.pop("tensorrt", None)


def test_an_old_version_is_refused(unloaded, monkeypatch):
    old = SimpleNamespace(__version__="10.7.0", Builder=None)
    monkeypatch.setitem(sys.modules, "tensorrt", old)
    with pytest.raises(DependencyError, match=r"got version 10\.7\.0, expected at least 10\.8"):
        flavors.load(Flavor.TENSORRT)


def test_nothing_installed_names_both_commands(monkeypatch):
    monkeypatch.setattr(flavors, "is_installed", lambda flavor: False)
    with pytest.raises(DependencyError, match=r"tensorrt>=10.*for RTX.*tensorrt-rtx-cu13"):
        flavors.installed_flavor()
