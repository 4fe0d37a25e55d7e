"""Parts (a) and (b) of the GPU's report: skipped without a GPU, failed with SGN_RT_REQUIRE_GPU=1.

Part (c) is run by tests/tensorrt/test_gpu.py, on a bundle with every graph.
"""

from __future__ import annotations

import os

import pytest

from sgn_rt.checks.check import Budget, Part, Place, Verdict
from sgn_rt.checks.parts import GROUPS
from sgn_rt.checks.runner import ProcessRunner
from sgn_rt.model.bundle import embedded
from sgn_rt.tensorrt.device.factory import look_for_device

CHECKS = {
    group.name_of(check): (group, check)
    for group in GROUPS
    if group.part != Part.TENSORRT
    for check in group.checks
}


@pytest.fixture(scope="module")
def runner():
    made = ProcessRunner(Place(bundle=embedded()))
    yield made
    made.close()


@pytest.mark.gpu
@pytest.mark.parametrize("name", CHECKS)
def test_on_the_gpu(runner, name):
    found = look_for_device()
    if isinstance(found, str):
        if os.environ.get("SGN_RT_REQUIRE_GPU") == "1":
            pytest.fail(f"{found}, and SGN_RT_REQUIRE_GPU=1")
        pytest.skip("no GPU")
    group, check = CHECKS[name]
    outcome = runner.run(group, check, Budget(600.0))
    if outcome.verdict == Verdict.DOES_NOT_APPLY:
        pytest.skip(outcome.reason)
    assert outcome.verdict == Verdict.HELD, outcome.reason
