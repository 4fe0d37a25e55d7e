"""What ``sgn-rt separate`` tells people of a recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from sgn_rt.cli.common import console, table
from sgn_rt.serving.folders.entry import Status
from sgn_rt.streaming.presence import NOT_SAID

_WORTH_SHOWING = 0.1
"""Presence from which a category that was not written is shown."""


def show_line(title: str, told: Mapping[str, Any]) -> None:
    """Print a line of what became of a recording, under a title."""
    what = ", ".join(told["stems"]) or "no stems"
    console().print(f"{title}  {told['status']}: {what}")


def show(title: str, told: Mapping[str, Any]) -> None:
    """Print what became of a recording, and what was found in it, under a title."""
    if told["status"] == Status.SEPARATED:
        _show_found(title, told)
    elif told["status"] == Status.SKIPPED:
        console().print(f"{title}  skipped: its stems are there")
    else:
        console().print(f"{title}  digital silence: no stems")


def _show_found(title: str, told: Mapping[str, Any]) -> None:
    out = console()
    presence, stems = told["presence"], told["stems"]
    out.print(
        f"{title}  {told['duration_s']:.1f} s, {told['sample_rate']} Hz, {told['channels']} ch  "
        f"->  {told['timings_s']['separate']:.2f} s on {told['engine']['name']} "
        f"({1 / told['real_time_factor']:.0f}x real time)"
    )
    is_said = told.get("presence_rule") != NOT_SAID
    rows = table("category", "presence", "", "stem", right="presence")
    for name, found in sorted(presence.items(), key=lambda item: -item[1]):
        if name in stems or found >= _WORTH_SHOWING:
            rows.add_row(
                name,
                f"{found:.2f}" if is_said else "not said",
                "#" * round(20 * found) if is_said else "",
                stems.get(name) or Text("not written", style="dim"),
            )
    if "residual" in stems:
        rows.add_row("residual", "", "", stems["residual"])
    out.print(rows)
    if not told["present"] and not set(stems) & set(presence):
        likeliest = max(presence, key=presence.__getitem__)
        out.print(
            f"No category counts as present; the likeliest is {likeliest} "
            f"({presence[likeliest]:.2f}). Lower --threshold, or name --categories."
        )
    if told["gain_db"]:
        loud = told["level_dbfs"]
        level = "" if loud is None else f"Its level is {loud:.1f} dBFS. "
        out.print(f"{level}The network heard it with a gain of {told['gain_db']:+.1f} dB.")
    if told["salvaged"] is not None:
        out.print(f"Damaged, and used as far as it goes: {told['salvaged']}")
    if told["clipped"]:
        out.print(
            f"Clipped at full scale: {', '.join(told['clipped'])}. --format wav does not clip."
        )
