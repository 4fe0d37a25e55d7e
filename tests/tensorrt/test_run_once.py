"""An engine run a single time, for checks: its answer, and nothing left of it."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.run.run_once import run_once

from .fakes import PRESENCE, SHARES


@pytest.fixture
def inputs(config):
    window = np.random.default_rng(0).standard_normal((1, config.window_samples), np.float32)
    return {"mixture": window, "categories": np.array([2, 0])}


def test_it_gives_every_output_and_leaves_nothing(trt, device, inputs, nothing_left):
    found = run_once(trt, device, b"an engine", None, inputs)
    expected = inputs["mixture"][:, None] * SHARES[[2, 0]][:, None]
    np.testing.assert_array_equal(found["sources"], expected)
    np.testing.assert_array_equal(found["presence"], PRESENCE[None])
    assert nothing_left() == {}
    assert (device.engines, device.wrong) == (0, [])  # destroyed with the device current


@pytest.mark.parametrize("call", ["set_input_shape", "set_tensor_address", "execute_async_v3"])
def test_what_does_not_run_is_an_error(trt, device, module, inputs, nothing_left, call):
    module.fail = {call: 1}
    with pytest.raises(EngineError, match=r"engine run once: got .*expected it to run"):
        run_once(trt, device, b"an engine", None, inputs)
    assert device.live["memory"] == 0
