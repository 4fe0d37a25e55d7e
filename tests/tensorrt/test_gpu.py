"""Every check that needs a GPU: skipped without one, failed with SGN_RT_REQUIRE_GPU=1."""

from __future__ import annotations

import os

import pytest

from sgn_rt.checks.check import Budget
from sgn_rt.checks.tensorrt.engine_checks import CHECKS
from sgn_rt.checks.tensorrt.world import World, expect_target
from sgn_rt.errors import UnavailableError
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
    trt = load(request.param)
    try:
        expect_target(trt, device)
    except UnavailableError as error:  # nothing is wrong with either, required or not
        pytest.skip(str(error))
    from sgn_rt.export.writer import export_bundle

    folder = tmp_path_factory.mktemp("gpu") / "bundle"
    export_bundle(checkpoint_path, folder, kinds=[kind for kind in Kind if kind != Kind.CORE])
    made = World(Bundle.open(folder), trt, device)
    yield made
    made.close()


@pytest.mark.gpu
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_on_the_gpu(world, check):
    world.budget = Budget(check.limit_s)
    check.run(world)


@pytest.mark.gpu
def test_layers_on_the_gpu(world):
    from sgn_rt.export.engine_layers import check_layers

    check_layers(world.bundle, world.trt, world.device)
