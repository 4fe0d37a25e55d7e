"""What ``sgn-rt separate`` tells people of a recording."""

from __future__ import annotations

from rich.text import Text

from sgn_rt.cli.common import console, table
from sgn_rt.report import SeparationFiles

_WORTH_SHOWING = 0.1
"""Presence from which a category that was not written is shown."""


def show(title: str, files: SeparationFiles) -> None:
    """Print what was found in a recording, under a title."""
    out = console()
    seconds = files.samples / files.sample_rate
    out.print(
        f"{title}  {seconds:.1f} s, {files.sample_rate} Hz, {files.channels} ch  ->  "
        f"{files.timings.separate:.2f} s on {files.engine} "
        f"({1 / files.real_time_factor:.0f}x real time)"
    )
    rows = table("category", "presence", "", "stem", right="presence")
    for name, presence in sorted(files.presence.items(), key=lambda item: -item[1]):
        stem = files.stems.get(name)
        if stem is not None or presence >= _WORTH_SHOWING:
            rows.add_row(
                name,
                f"{presence:.2f}",
                "#" * round(20 * presence),
                str(stem) if stem else Text("not written", style="dim"),
            )
    if "residual" in files.stems:
        rows.add_row("residual", "", "", str(files.stems["residual"]))
    out.print(rows)
    if not files.present and not set(files.stems) & set(files.presence):
        likeliest = max(files.presence, key=files.presence.__getitem__)
        out.print(
            f"No category counts as present; the likeliest is {likeliest} "
            f"({files.presence[likeliest]:.2f}). Lower --threshold, or name --categories."
        )
    if files.gain_db:
        level = "" if files.level_dbfs is None else f"Its level is {files.level_dbfs:.1f} dBFS. "
        out.print(f"{level}The network heard it with a gain of {files.gain_db:+.1f} dB.")
    if files.salvaged is not None:
        out.print(f"Damaged, and used as far as it goes: {files.salvaged}")
    if files.clipped:
        out.print(f"Clipped at full scale: {', '.join(files.clipped)}. --format wav does not clip.")
