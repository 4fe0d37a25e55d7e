"""``python -m sgn_rt.checks.device.sanitized LIBRARY``: the kernels, to be run under a tool."""

from __future__ import annotations

import sys
from pathlib import Path

from sgn_rt.checks.device.cuda import CudaRuntime
from sgn_rt.checks.device.kernel_checks import CASES, check_finish, check_resampler, compare
from sgn_rt.checks.device.transforms import CheckLibrary
from sgn_rt.checks.device.world import DeviceWorld
from sgn_rt.model.bundle import Bundle
from sgn_rt.tensorrt.device.factory import open_device


def main() -> None:
    """Run every kernel once at small sizes; what they compute is checked, too."""
    library = CheckLibrary(Path(sys.argv[1]))
    world = DeviceWorld(
        open_device(), Bundle.open(None).config, CudaRuntime(), build=lambda _: library
    )
    for case in CASES[:3]:
        compare(world, case)
    check_finish(world)
    check_resampler(world)


if __name__ == "__main__":
    main()
