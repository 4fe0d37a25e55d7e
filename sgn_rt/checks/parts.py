"""Every group of checks, in the order of the report."""

from __future__ import annotations

from typing import Final

from sgn_rt.checks.check import Group
from sgn_rt.checks.device import group as device
from sgn_rt.checks.device import torch_rows
from sgn_rt.checks.onnxruntime import provider_checks
from sgn_rt.checks.tensorrt import engine_checks

GROUPS: Final[tuple[Group, ...]] = (
    device.GROUP,
    torch_rows.GROUP,
    *provider_checks.GROUPS,
    *engine_checks.GROUPS,
)
