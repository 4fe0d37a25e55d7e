"""What a window moves on a GPU, beside what the one at hand moves: part of ``sgn-rt doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from sgn_rt.checks.device.rates import limits_here, load_of
from sgn_rt.checks.page import table
from sgn_rt.model.config import ModelConfig
from sgn_rt.tensorrt import roofline


def moved_by_a_window(config: ModelConfig) -> dict[str, Any]:
    """Bytes of each kernel and of the link; times at least, where there is a GPU; as JSON types."""
    load, limits = load_of(config, 1), limits_here(config)
    rates = {
        name: round(rate / 1e9, 1)
        for name, rate in (
            ("copy on the device", limits.copied),
            ("by clock and bus", limits.data_sheet),
            ("to the device", limits.up),
            ("from the device", limits.down),
        )
        if rate is not None
    }
    most = {name: round(rate) for name, rate in roofline.windows_per_second(load, limits).items()}
    return {
        "sources": load.sources,
        "kernels": roofline.rows(load, limits),
        "GB_per_s": rates,
        "windows_per_s_at_most": most,
    }


def show_moved(moved: Mapping[str, Any], out: Console) -> None:
    """Print it."""
    out.print()
    out.print(
        f"What a window of {moved['sources']} sources moves on a GPU, masks in float16, a quarter "
        "of it heard in float32; the network not counted"
    )
    for line in table(moved["kernels"]):
        out.print(line)
    for name in ("GB_per_s", "windows_per_s_at_most"):
        if moved[name]:
            found = ", ".join(f"{what} {figure}" for what, figure in moved[name].items())
            out.print(f"{name.replace('_per_s', '/s').replace('_', ' ')}: {found}")
