"""The simulation's result as Markdown. What it says of a GPU is a model's, and called so."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

BEGIN: Final = "<!-- written by python -P -m sgn_rt.benchmarks.fleet -->"
END: Final = "<!-- end -->"


def between(page: str, text: str) -> str:
    """A page with the text in the place of what is between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{text}{END}{after}"


def render(result: Mapping[str, Any], price: float | None = None) -> str:
    """All tables.

    Parameters
    ----------
    result
        Of `study.run`.
    price
        Of a GPU for an hour, in any currency: what streams cost is told in it, too.
    """
    parts = (
        _model(result),
        _gpu(result),
        _mixed(result),
        _overload(result),
        _fleet(result, price),
    )
    return "\n".join(parts)


def _text(text: str) -> str:
    return textwrap.fill(text, 125, break_long_words=False, break_on_hyphens=False) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _count(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ")


def _ms(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:.1f}" if number < 100 else f"{number:.0f}"


def _percent(share: float) -> str:
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.0f} %" if share in (0, 1) or share >= 0.1 else f"{100 * share:.1f} %"


def _latency(row: Mapping[str, Any]) -> str:
    if row["latency_s"] is None:
        return f"none ({row['real_latency_s']:.1f} s)"
    return f"{row['latency_s']:g} s"


def _model(result: Mapping[str, Any]) -> str:
    model, trial = result["model"], result["trial"]
    cost = _scenario(result)["cost_us"]
    network_us = 1e6 / model["network_windows"] / model["efficiency"]
    hosted_us = 1e6 * model["hosted_s"]
    rows = [
        (
            "network",
            f"{network_us:.1f}",
            f"an H100's peak, {_count(model['network_windows'])} windows/s, and "
            f"{100 * model['efficiency']:.0f} % of it, as good convolution nets reach in MLPerf",
        ),
        (
            "its other kernels",
            f"{cost['kernels'] - network_us:.1f}",
            f"bytes that they move, counted from the code, at {model['memory'] / 1e12:g} TB/s",
        ),
        (
            "copies, there and back",
            f"{cost['up']:.1f}, {cost['down']:.1f}",
            f"bytes at {model['link'] / 1e9:g} GB/s",
        ),
        (
            "of a call, in any case",
            f"{1e6 * model['launches'] * model['launch_s']:.0f}",
            f"{model['launches']} kernels, {1e6 * model['launch_s']:g} each: assumed",
        ),
        (
            "host, one thread",
            f"0 or {hosted_us:.0f}",
            f"{hosted_us:.0f}: measured on a GPU that answers at once ([TensorRT](tensorrt.md))",
        ),
    ]
    first = _text(
        "**Nothing here was measured on a GPU.** A call of the engine passes four stations, one "
        "call at a time in each: the host's own work, the copy to the device, the kernels, the "
        f"copy back. Up to {model['lanes']} calls are under way at a time, of up to "
        f"{model['batch']} windows each (`--max-batch`)."
    )
    last = _text(
        f"A stream has one channel at 44.1 kHz and {model['sources']} category. It begins at a "
        f"random moment; its blocks come late by {1e3 * trial['jitter_s']:g} ms in the mean "
        "(exponential). *Late* is how long after its last sample was there a window is done; the "
        f"deadline is {1e3 * trial['deadline_s']:g} ms at the 99th percentile. What feeding, "
        "sample rates and cross-fades cost the host's other processors is not in the model."
    )
    table = _table(("of a window", "microseconds", "from"), rows)
    return "\n".join(("## What the model assumes\n", first, table, last))


def _scenario(result: Mapping[str, Any]) -> Mapping[str, Any]:
    wanted = result["scenario_latency_s"]
    found: Mapping[str, Any] = next(r for r in result["latencies"] if r["latency_s"] == wanted)
    return found


def _gpu(result: Mapping[str, Any]) -> str:
    rows = []
    for row in result["latencies"]:
        gpu, hosted = row["gpu"], row["with_host"]
        half = next(load for load in row["loads"] if load["load"] >= 0.49)
        rows.append(
            (
                _latency(row),
                f"{1 / row['step_s']:.2f}",
                _count(gpu["streams"]),
                f"{_ms(gpu['p50_ms'])}, {_ms(gpu['p99_ms'])}",
                f"{_ms(half['p50_ms'])}, {_ms(half['p99_ms'])}",
                f"{gpu['mean_batch']:.1f}, {half['mean_batch']:.1f}",
                _count(hosted["streams"]),
            )
        )
    head = (
        "`latency_s`", "windows/s", "streams on one GPU", "ms late, p50, p99",
        "at half of it", "windows in a call, full and half", "if the host takes its time",
    )  # fmt: skip
    text = _text(
        "The largest numbers need nearly all that full calls carry, as streams come at an even "
        f"pace. A hub admits {100 * result['fleet']['room_share']:.0f} % of what its engine holds, "
        "and so do the fleets below. The last column is what is left where the host spends "
        f"{1e6 * result['model']['hosted_s']:.0f} microseconds on every window, one at a time, as "
        "Python's threads do: it is the host then that limits, and a second process beside it "
        "serves the rest."
    )
    picture = "![Streams on a GPU against latency, and lateness against load](scaling-gpu.png)\n"
    return "\n".join(("## One GPU\n", picture, _table(head, rows), text))


def _mixed(result: Mapping[str, Any]) -> str:
    mixed, flood = result["mixed"], result["flood"]
    rows = [
        (row["times"], _percent(row["offered"]), _ms(row["p50_ms"]), _ms(row["p99_ms"]))
        for row in flood
    ]
    head = ("windows that they bring for one", "of what full calls carry", "p50 ms", "p99 ms")
    together = _text(
        f"**{_count(mixed['streams'])} streams of all these latencies** on one GPU, "
        f"{_count(mixed['came'])} coming and {_count(mixed['went'])} going meanwhile: half of the "
        f"windows are at most {_ms(mixed['p50_ms'])} ms late, 99 % at most "
        f"{_ms(mixed['p99_ms'])} ms, with {mixed['mean_batch']:.1f} windows in a call."
    )
    flooding = _text(
        f"**A flood**: {flood[0]['flooding']} of {_count(flood[0]['streams'])} streams bring more "
        "than their pace. What the others wait:"
    )
    return "\n".join((together, flooding, _table(head, rows)))


def _overload(result: Mapping[str, Any]) -> str:
    rows = [
        (
            row["policy"],
            _ms(row["p50_ms"]),
            _ms(row["p99_ms"]),
            _percent(row["refused"]),
            _percent(row["raised"]),
            _percent(row["longer"]),
            _percent(row["passed"]),
        )
        for row in result["overload"]
    ]
    head = (
        "`overload`", "p50 ms", "p99 ms", "refused", "ended", "longer steps", "passed through",
    )  # fmt: skip
    slow = [
        (
            row["policy"],
            _ms(row["max_ms"]),
            f"{row['recovered_s']:.1f}",
            _percent(row["longer"]),
            _percent(row["passed"]),
        )
        for row in result["slow"]
    ]
    asked = result["overload"][0]["asked"]
    too_many = _text(
        f"**Too many**: {_count(asked)} streams of {result['scenario_latency_s'] or 0:g} s, "
        f"{asked / _scenario(result)['gpu']['streams']:.1f} times what the GPU holds; lateness "
        "in the second half of the run:"
    )
    raising = _text(
        "`raise` ends far more streams than it would need to: one that was late gives room only "
        "when its next window would have come, and until then the others are late as well. It is "
        "for a hub that is never asked for too much."
    )
    trouble = _text(
        "**A slow engine**: kernels take three times as long for two seconds, with "
        f"{_count(result['slow'][0]['streams'])} streams:"
    )
    slow_head = (
        "`overload`", "latest, ms", "seconds until in time again", "longer steps",
        "passed through",
    )  # fmt: skip
    return "\n".join((too_many, _table(head, rows), raising, trouble, _table(slow_head, slow)))


def _fleet(result: Mapping[str, Any], price: float | None) -> str:
    plan = result["fleet"]
    head = [
        "`latency_s`", "GPUs, most and mean", "streams on a GPU, mean",
        "GPU-hours for 1000 stream-hours", "p99 ms late", "refused", "moved", "lost",
    ]  # fmt: skip
    if price is not None:
        head.append(f"1000 stream-hours, at {price:g} a GPU-hour")
    rows = [_fleet_row(_latency(row), row["fleet"], price) for row in result["latencies"]]
    what_if = [_fleet_row(row["what"], row, price) for row in result["what_if"]]
    what = _text(
        f"{_count(plan['peak_streams'])} streams at the busiest moment of a day, "
        f"{100 * plan['night_share']:.0f} % of that at the quietest, each staying "
        f"{plan['stay_s'] / 60:.0f} minutes in the mean. A new GPU takes "
        f"{plan['start_s'] / 60:.0f} minutes to start, {100 * plan['headroom']:.0f} % of the room "
        "is kept free, streams go to the emptiest GPU, and a GPU fails once in "
        f"{plan['failures_s'] / 86400:.0f} days: its streams move on. One that is to be stopped "
        f"takes no more, and what is left on it after {plan['drain_s'] / 60:.0f} minutes moves on "
        "as well. A GPU is paid for from its start to its end."
    )
    reduced = _text(
        "Of a million streams not every window is simulated. One GPU is, at eight loads; this "
        "gives how late windows are by load. The fleet then counts streams on each GPU, in ticks "
        f"of {plan['tick_s']:g} s: who leaves is a binomial number, who comes a Poisson one. A "
        "test simulates a small fleet stream by stream and window by window: streams agree "
        "within 5 %, GPU-hours within 8 %, lateness within 15 %."
    )
    changed = f"With {result['scenario_latency_s'] or 0:g} s of latency, and one thing changed:\n"
    picture = "![A day: streams and GPUs; GPU-hours against latency](scaling-fleet.png)\n"
    tables = _table(head, rows), _table(["", *head[1:]], what_if)
    parts = ("## A fleet\n", picture, what, tables[0], changed, tables[1], reduced)
    return "\n".join(parts)


def _fleet_row(name: str, row: Mapping[str, Any], price: float | None) -> list[object]:
    found: list[object] = [
        name,
        f"{_count(row['most_gpus'])}, {_count(row['mean_gpus'])}",
        _count(1e3 / row["gpu_hours_per_1000"]),
        f"{row['gpu_hours_per_1000']:.3f}",
        _ms(row["p99_ms"]),
        _percent(row["refused"] / max(1, row["arrived"])),
        _percent(row["moved"] / max(1, row["arrived"])),
        _percent(row["lost"] / max(1, row["arrived"])),
    ]
    if price is not None:
        found.append(f"{price * row['gpu_hours_per_1000']:.2f}")
    return found
