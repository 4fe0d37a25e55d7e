"""Every group of checks, in the order of the report."""

from __future__ import annotations

from typing import Final

from sgn_rt.checks.check import Group
from sgn_rt.checks.tensorrt import engine_checks

GROUPS: Final[tuple[Group, ...]] = (*engine_checks.GROUPS,)
