"""Every check that needs a GPU: skipped without one, failed with SGN_RT_REQUIRE_GPU=1."""

from __future__ import annotations

import os

import pytest

from sgn_rt.checks.gpu_checks import CHECKS, World
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import Kind
from sgn_rt.tensorrt.bindings import Flavor, is_installed, load
from sgn_rt.tensorrt.device.factory import find_device


def missing(what: str) -> None:
    if os.environ.get("SGN_RT_REQUIRE_GPU") == "1":
        pytest.fail(f"{what}, and SGN_RT_REQUIRE_GPU=1")
    pytest.skip(what)


@pytest.fixture(scope="module", params=list(Flavor))
def world(request, tmp_path_factory, checkpoint_path):
    device = find_device()
    if device is None:
        missing("no GPU")
    if not is_installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    from sgn_rt.export.writer import export_bundle

    folder = tmp_path_factory.mktemp("gpu") / "bundle"
    export_bundle(checkpoint_path, folder, kinds=[kind for kind in Kind if kind != Kind.CORE])
    made = World(Bundle.open(folder), load(request.param), device)
    yield made
    for engine in made.engines.values():
        engine.close()


@pytest.mark.gpu
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_on_the_gpu(world, check):
    check(world)


@pytest.mark.gpu
def test_layers_on_the_gpu(world):
    from sgn_rt.export.engine_layers import check_layers

    check_layers(world.bundle, world.trt, world.device)
