"""The checks of a GPU through the device layer, in their order."""

from __future__ import annotations

from typing import Final

from sgn_rt.checks.check import Check, Group, Part
from sgn_rt.checks.device import kernel_checks, layer_checks, rates, sharing_checks
from sgn_rt.checks.device.world import open_world

COMPILED_S: Final = 150.0
"""What a check may take that may be the first to have the kernels compiled."""

GROUP: Final = Group(
    part=Part.DEVICE,
    name="device",
    open=open_world,
    checks=(
        Check(name="gpu", run=rates.check_gpu),
        Check(name="copies", run=layer_checks.check_copies),
        Check(name="streams", run=layer_checks.check_streams),
        Check(name="graphs", run=layer_checks.check_graphs),
        Check(name="refusals", run=layer_checks.check_refusals),
        Check(name="bandwidth", run=rates.check_bandwidth),
        Check(name="dlpack-torch", run=sharing_checks.check_torch, limit_s=60.0),
        Check(name="dlpack-cupy", run=sharing_checks.check_cupy, limit_s=60.0),
        Check(name="kernels", run=kernel_checks.check_kernels, limit_s=COMPILED_S),
        Check(name="finish", run=kernel_checks.check_finish, limit_s=COMPILED_S),
        Check(name="resampler", run=kernel_checks.check_resampler, limit_s=COMPILED_S),
        Check(name="times", run=rates.check_times, limit_s=COMPILED_S),
        Check(name="resampler-times", run=rates.check_resampler_times, limit_s=COMPILED_S),
        Check(name="sanitizer", run=kernel_checks.check_sanitized, limit_s=COMPILED_S),
        Check(
            name="late-errors", run=layer_checks.check_late_errors, limit_s=COMPILED_S,
            breaks_device=True,
        ),
    ),
)  # fmt: skip
