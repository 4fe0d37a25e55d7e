"""The simulation's result in two pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from sgn_rt._optional import require

GPU, HOSTED, LIMIT = "tab:blue", "tab:orange", "tab:red"


def require_matplotlib() -> None:
    """Raise DependencyError, before any work, if pictures cannot be drawn."""
    require("matplotlib", extra="plot", purpose="--write")


def draw(result: Mapping[str, Any]) -> dict[str, bytes]:
    """PNG files, by name."""
    return {
        "scaling-gpu.png": _png(_gpu(result)),
        "scaling-fleet.png": _png(_fleet(result)),
    }


def _figure() -> tuple[Any, Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.06})
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, left, right


def _png(figure: Any) -> bytes:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100, metadata={"Software": None})
    return png.getvalue()


def _latencies(axes: Any, rows: Any) -> list[float]:
    """Of the rows, as the ticks of an axis."""
    values = [row["real_latency_s"] for row in rows]
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:.2g}" for value in values])
    axes.minorticks_off()
    axes.set_xlabel("latency, s")
    return values


def _gpu(result: Mapping[str, Any]) -> Any:
    figure, left, right = _figure()
    rows = result["latencies"]
    latencies = _latencies(left, rows)
    host_us = 1e6 * result["model"]["hosted_s"]
    for key, colour, label in (
        ("gpu", GPU, "GPU alone"),
        ("with_host", HOSTED, f"one process: host {host_us:.0f} µs a window"),
    ):
        counts = [row[key]["streams"] for row in rows]
        left.plot(latencies, counts, "o-", color=colour, label=label)
        for latency, count in zip(latencies, counts, strict=True):
            above = key == "gpu"
            left.annotate(
                f"{count:,}".replace(",", " "),
                (latency, count),
                textcoords="offset points",
                xytext=(-6, 6) if above else (6, -12),
                ha="right" if above else "left",
                fontsize="small",
                color=colour,
            )
    left.set_yscale("log")
    left.margins(x=0.18, y=0.15)
    left.set_ylabel("streams on one GPU")
    left.legend(frameon=False, loc="lower right")
    left.set_title("How many (a model, not measured)", loc="left", fontsize="medium")

    row = next(r for r in rows if r["latency_s"] == result["scenario_latency_s"])
    loads = [100 * each["load"] for each in row["loads"]]
    for key, style in (("p99_ms", "o-"), ("p50_ms", "o--")):
        values = [each[key] for each in row["loads"]]
        right.plot(loads, values, style, color=GPU, label=key.removesuffix("_ms"))
    deadline_ms = 1e3 * result["trial"]["deadline_s"]
    right.axhline(deadline_ms, color=LIMIT, ls=":", label="deadline")
    right.set_yscale("log")
    right.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    right.minorticks_off()
    most = f"{row['gpu']['streams']:,}".replace(",", " ")
    right.set_xlabel(f"load, % of {most} streams")
    right.set_ylabel("ms late")
    right.legend(frameon=False)
    right.set_title(f"How late, latency {row['real_latency_s']:g} s", loc="left", fontsize="medium")
    return figure


def _fleet(result: Mapping[str, Any]) -> Any:
    figure, left, right = _figure()
    day, rows = result["day"], result["latencies"]
    latency = result["scenario_latency_s"]
    left.plot(day["hours"], [n / 1e3 for n in day["streams"]], color=GPU)
    left.set_ylabel("thousands of streams", color=GPU)
    left.set_xlabel("hour")
    left.set_xticks(range(0, 25, 6) if day["hours"][-1] > 12 else range(3))
    left.set_ylim(0)
    gpus = left.twinx()
    gpus.spines[["top"]].set_visible(False)
    gpus.step(day["hours"], day["gpus"], where="post", color=HOSTED)
    gpus.set_ylabel("GPUs paid for", color=HOSTED)
    gpus.set_ylim(0)
    left.set_title(f"A day, latency {latency:g} s (a model)", loc="left", fontsize="medium")

    latencies = _latencies(right, rows)
    costs = [row["fleet"]["gpu_hours_per_1000"] for row in rows]
    right.plot(latencies, costs, "o-", color=GPU)
    for at, cost in zip(latencies, costs, strict=True):
        right.annotate(
            f"{cost:.3f}", (at, cost), textcoords="offset points", xytext=(6, 4), fontsize="small"
        )
    right.set_yscale("log")
    right.set_yticks([0.01, 0.03, 0.1, 0.3, 1], ["0.01", "0.03", "0.1", "0.3", "1"])
    right.minorticks_off()
    right.margins(x=0.18, y=0.15)
    right.set_ylabel("GPU-hours for 1000 stream-hours")
    right.set_title("What a stream costs", loc="left", fontsize="medium")
    return figure
