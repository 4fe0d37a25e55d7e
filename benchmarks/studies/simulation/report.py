"""The simulation's result as Markdown. What it says of a GPU is a model's, and called so."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

BEGIN: Final = "<!-- written by python -P -m sgn_rt.benchmarks.studies.fleet -->"
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
    parts = (_short, _gpu, _fleet, _overload, _model, _sensitivity)
    return "\n".join(part(result, price) for part in parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _prose(text: str) -> str:
    """A paragraph."""
    words = " ".join(text.split())
    lines = textwrap.wrap(words, 120, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines) + "\n"


def _count(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ")


def _ms(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:.1f}" if number < 100 else f"{number:.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share in (0, 1) or share >= 0.1 else f"{100 * share:.1f} %"


def _latency(row: Mapping[str, Any]) -> str:
    if row["latency_s"] is None:
        return f"none ({row['real_latency_s']:.1f} s)"
    return f"{row['latency_s']:g} s"


def scenario(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row of the latency of which more is told."""
    wanted = result["scenario_latency_s"]
    found: Mapping[str, Any] = next(r for r in result["latencies"] if r["latency_s"] == wanted)
    return found


def _short(result: Mapping[str, Any], price: float | None) -> str:
    del price
    one, fleet = scenario(result), result["fleet"]
    hosted = result["what_if"][-1]
    return _prose(
        f"**In short**, with {one['latency_s']:g} s of latency: a GPU would hold "
        f"{_count(one['gpu']['streams'])} streams, one process on it "
        f"{_count(one['with_host']['streams'])}; {_count(fleet['peak_streams'])} streams at the "
        f"busiest moment of a day would take {_count(one['fleet']['most_gpus'])} GPUs then, and "
        f"{_count(one['fleet']['mean_gpus'])} in the mean (with one process on each, "
        f"{_count(hosted['most_gpus'])} and {_count(hosted['mean_gpus'])})."
    )


def _gpu(result: Mapping[str, Any], price: float | None) -> str:
    del price
    rows = []
    for row in result["latencies"]:
        gpu, hosted = row["gpu"], row["with_host"]
        half = next(load for load in row["loads"] if load["load"] >= 0.49)
        rows.append(
            (
                _latency(row),
                f"{1 / row['step_s']:.2f}",
                _count(gpu["streams"]),
                f"{_ms(half['p50_ms'])}, {_ms(half['p99_ms'])}",
                f"{_ms(gpu['p50_ms'])}, {_ms(gpu['p99_ms'])}",
                f"{half['mean_batch']:.1f}, {gpu['mean_batch']:.1f}",
                _count(hosted["streams"]),
            )
        )
    head = (
        "`latency_s`", "windows/s of a stream", "streams on a GPU",
        "ms late at half of them: p50, p99", "with all: p50, p99", "windows in a call: half, all",
        "streams of one process",
    )  # fmt: skip
    trial, mixed, flood = result["trial"], result["mixed"], result["flood"]
    host_us = 1e6 * result["model"]["hosted_s"]
    one = scenario(result)
    processes = -(-one["gpu"]["streams"] // one["with_host"]["streams"])
    return "\n".join(
        (
            "## One GPU\n",
            "![Streams on a GPU against latency, and lateness against load](scaling-gpu.png)\n",
            _table(head, rows),
            _prose(
                "A stream is *late* by as long as its window is done after its last sample was "
                "there. A GPU holds as many as have 99 % of their windows done in "
                f"{1e3 * trial['deadline_s']:g} ms: nearly all that full calls carry, as each "
                "stream comes at an even pace. **One process holds fewer**: its own work, "
                f"{host_us:.0f} µs a window in one thread of Python, is what limits it, and "
                f"a GPU full of streams of {one['latency_s']:g} s takes {processes} of them. "
                "What they lose by sharing it is not in the model."
            ),
            _prose(
                f"**{_count(mixed['streams'])} streams of all these latencies on one GPU**, "
                f"{_count(mixed['came'])} of them coming and {_count(mixed['went'])} going in "
                f"{mixed['seconds']:.0f} s: half of the windows are at most {_ms(mixed['p50_ms'])} "
                f"ms late, 99 % at most {_ms(mixed['p99_ms'])} ms; {mixed['mean_batch']:.1f} "
                "windows in a call."
            ),
            _prose(
                f"**Floods**: {flood[-1]['flooding']} of {_count(flood[-1]['streams'])} streams "
                f"bring {flood[-1]['times']} windows in the place of one, "
                f"{_percent(flood[-1]['offered'])} of what the GPU can carry. The p99 of the "
                f"others rises from {_ms(flood[0]['p99_ms'])} to {_ms(flood[-1]['p99_ms'])} ms."
            ),
        )
    )


def _overload(result: Mapping[str, Any], price: float | None) -> str:
    del price
    rows = [
        (
            row["policy"],
            *(_ms(row[key]) for key in ("p50_ms", "p99_ms")),
            *(_percent(row[key]) for key in ("refused", "raised", "longer", "passed")),
        )
        for row in result["overload"]
    ]
    head = ("`overload`", "p50 ms", "p99 ms", "refused", "ended", "took longer steps",
            "windows passed through")  # fmt: skip
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
    slow_head = ("`overload`", "latest, ms", "seconds until in time again", "took longer steps",
                 "windows passed through")  # fmt: skip
    asked, streams = result["overload"][0]["asked"], scenario(result)["gpu"]["streams"]
    return "\n".join(
        (
            "## Too many, or too slow\n",
            _prose(
                f"{_count(asked)} streams of {result['scenario_latency_s']:g} s, "
                f"{asked / streams:.1f} times what the GPU holds, for "
                f"{result['overload'][0]['seconds']:.0f} s; lateness in the second half:"
            ),
            _table(head, rows),
            _prose(
                "`refuse` is admission, before; *none* is what would be without any policy. "
                "`raise` ends more streams than it would need to: a stream that is late was "
                "served, and gives room only a step later, while the others are late as well. "
                "`pass-through` computes what can still be in time, so everything is just so; by "
                "more than the deadline, as a hub counts from when a window is due, which a stream "
                "whose block was late reaches again some windows later."
            ),
            _prose(
                "Kernels that take three times as long for two seconds, at "
                f"{_count(result['slow'][0]['streams'])} streams:"
            ),
            _table(slow_head, slow),
        )
    )


def _fleet(result: Mapping[str, Any], price: float | None) -> str:
    plan = result["fleet"]
    head = ["`latency_s`", "GPUs: most, mean", "streams on a GPU, mean",
            "GPU-hours for 1000 stream-hours", "p99 ms late", "refused or lost",
            "moved"]  # fmt: skip
    if price is not None:
        head.append(f"1000 stream-hours, at {price:g} a GPU-hour")
    rows = [_fleet_row(_latency(row), row["fleet"], price) for row in result["latencies"]]
    what_if = [_fleet_row(row["what"], row, price) for row in result["what_if"]]
    return "\n".join(
        (
            "## A fleet\n",
            "![A day: streams and GPUs; GPU-hours against latency](scaling-fleet.png)\n",
            _prose(
                f"{_count(plan['peak_streams'])} streams at the busiest moment of a day, "
                f"{100 * plan['night_share']:.0f} % of that at the quietest, each staying "
                f"{plan['stay_s'] / 60:.0f} minutes in the mean. A GPU takes at most "
                f"{100 * plan['room_share']:.0f} % of what it holds, new streams go to the "
                f"emptiest, and the autoscaler keeps {100 * plan['headroom']:.0f} % of the room "
                f"free. A GPU takes {plan['start_s'] / 60:.0f} minutes to start, fails once in "
                f"{plan['failures_s'] / 86400:.0f} days (its streams begin anew elsewhere), and is "
                f"emptied for {plan['drain_s'] / 60:.0f} minutes before it is stopped: what is "
                "left then moves on. It is paid for from its start to its end."
            ),
            _table(head, rows),
            f"With {result['scenario_latency_s']:g} s of latency, and one thing changed:\n",
            _table(["", *head[1:]], what_if),
            _prose(
                "Windows of a million streams are not simulated one by one. Those of one GPU are, "
                "at eight loads, and say how late windows are by load. The fleet counts streams "
                f"on each GPU, in ticks of {plan['tick_s']:g} s: how many leave is a binomial "
                "number, how many come a Poisson one. A test simulates a small fleet window by "
                "window, too, and finds the same."
            ),
        )
    )


def _fleet_row(name: str, row: Mapping[str, Any], price: float | None) -> list[object]:
    arrived = max(1, row["arrived"])
    found: list[object] = [
        name,
        f"{_count(row['most_gpus'])}, {_count(row['mean_gpus'])}",
        _count(1e3 / row["gpu_hours_per_1000"]),
        f"{row['gpu_hours_per_1000']:.3f}",
        _ms(row["p99_ms"]),
        _percent((row["refused"] + row["lost"]) / arrived),
        _percent(row["moved"] / arrived),
    ]
    if price is not None:
        found.append(f"{price * row['gpu_hours_per_1000']:.2f}")
    return found


def _model(result: Mapping[str, Any], price: float | None) -> str:
    del price
    model, trial = result["model"], result["trial"]
    cost = scenario(result)["cost_us"]
    network = 1e6 / model["network_windows"] / model["efficiency"]
    host = 1e6 * model["hosted_s"]
    rows = (
        ("network", f"{network:.1f}",
         f"an H100's peak, {_count(model['network_windows'])} windows/s, of which "
         f"{100 * model['efficiency']:.0f} % are reached, as ResNet-50 does in MLPerf"),
        ("other kernels", f"{cost['kernels'] - network:.1f}",
         f"bytes that they move, counted from the code, at {model['memory'] / 1e12:g} TB/s"),
        ("copy to the GPU, and back", f"{cost['up']:.1f}, {cost['down']:.1f}",
         f"bytes at {model['link'] / 1e9:g} GB/s"),
        ("of a call, however small", f"{1e6 * model['call_s']:.0f}",
         f"{model['launches']} kernels, {1e6 * model['launch_s']:g} µs from one to the next: "
         "assumed"),
        ("host, of a window", f"0, or {host:.0f} in one process",
         f"{host:.0f} is the measured one of a GPU that answers at once ([TensorRT](tensorrt.md))"),
    )  # fmt: skip
    return "\n".join(
        (
            "## What the model assumes\n",
            _prose(
                "A call of the engine passes four stations, one call at a time in each: the host's "
                f"own work, the copy to the GPU, the kernels, the copy back. {model['lanes']} "
                f"calls are under way at a time, of at most {model['batch']} windows "
                "(`--max-batch`)."
            ),
            _table(("", "µs", "from"), rows),
            _prose(
                f"The published model, streams of one channel at 44.1 kHz with {model['sources']} "
                "category each. A stream begins at a random moment, its blocks come at an even "
                f"pace, and are late by {1e3 * trial['jitter_s']:g} ms in the mean (exponential). "
                "Streams come at random (Poisson), and how long they stay is exponential. Times do "
                "not vary otherwise: nobody else uses the GPU, no clock drops."
            ),
        )
    )


def _sensitivity(result: Mapping[str, Any], price: float | None) -> str:
    del price
    most = scenario(result)["gpu"]["streams"]
    rows = [
        (row["what"], _count(row["streams"]), f"{row['streams'] / most:.2f}", _ms(row["p99_ms"]))
        for row in result["sensitivity"]
    ]
    return "\n".join(
        (
            f"How much hangs on what, at {result['scenario_latency_s']:g} s of latency:\n",
            _table(
                ("one thing changed", "streams on a GPU", "of those above", "p99 ms late"), rows
            ),
        )
    )
