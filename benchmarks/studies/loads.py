"""How a server has borne a load: the figures, and what limits it as far as they tell."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import click
import numpy as np

BUSY = 0.85
"""Share of the processors from which they are what limits."""


@dataclass
class Load:
    """A measurement.

    Attributes
    ----------
    offered
        Recordings per second, or live streams.
    seconds
        From the first request to the last answer.
    done
        Recordings, or streams, that ended well.
    times_s
        Of recordings from when they were due to the end of the answer; of live streams how much
        later than declared each piece came.
    errors
        By class.
    server
        What the server has used and told meanwhile.
    """

    offered: float
    seconds: float = 0.0
    done: int = 0
    times_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    server: dict[str, float | None] = field(default_factory=dict)

    def limit(self) -> str:
        """What limits, as far as the figures tell."""
        if self.errors["OverloadError"]:
            return "places: the server has refused some"
        share, busy = self.server.get("cpu_share"), self.server.get("machine_busy")
        if share is None or busy is None:
            return "unknown: the server's processor time cannot be seen from here"
        if share > BUSY:
            return "processors"
        return "processors, which others use, too" if busy > BUSY else "nothing yet"

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        times = self.times_s or [float("nan")]
        p50, p99, most = (float(np.quantile(times, q)) for q in (0.5, 0.99, 1.0))
        figures = {"p50_s": p50, "p99_s": p99, "max_s": most}
        return {
            "offered": self.offered,
            "seconds": self.seconds,
            "done": self.done,
            "errors": dict(self.errors),
            "server": dict(self.server),
            "per_second": self.done / self.seconds if self.seconds else 0.0,
            **{key: None if np.isnan(value) else value for key, value in figures.items()},
            "limited_by": self.limit(),
        }


def show(what: str, load: Load) -> None:
    """A line of it on the terminal."""
    told = load.to_dict()
    p50, p99 = (
        "-" if told[key] is None else f"{1000 * told[key]:.0f} ms" for key in ("p50_s", "p99_s")
    )
    share = told["server"].get("cpu_share")
    used = "-" if share is None else f"{share:.0%}"
    errors = ", ".join(f"{n} {kind}" for kind, n in load.errors.items()) or "none"
    click.echo(
        f"{load.offered:g} {what}: {load.done} done, {told['per_second']:.2f}/s, p50 {p50}, "
        f"p99 {p99}, errors {errors}, processors {used}, limited by {told['limited_by']}"
    )
