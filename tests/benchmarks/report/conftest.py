"""A run, made by hand: what is told of it has to be right whatever was measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sgn_rt.benchmarks.result import Figure, Limits, Result, Row, median_interval, ratio

ENGINES = ("onnxruntime", "onnxruntime:core.int8")
COMPETITORS = ("torch", "torch-compile")
SPEED = {"onnxruntime": 1.0, "onnxruntime:core.int8": 0.6, "torch": 1.6, "torch-compile": 1.3}
"""Seconds, relative."""


def measured(middle, count=9, spread=0.02, seed=0):
    values = middle * (1 + spread * np.random.default_rng(seed).standard_normal(count))
    return tuple(float(value) for value in values)


def figure(scenario, row, name, unit, better, values, **more):
    return Figure(
        scenario=scenario, row=row, name=name, unit=unit, better=better, values=values,
        value=float(np.median(values)), interval=median_interval(values), **more,
    )  # fmt: skip


def figures_of(row, seed):
    slow = SPEED[row]
    yield figure("offline", row, "throughput", "windows/s", "higher",
                 measured(30 / slow, seed=seed), valid=True)  # fmt: skip
    latencies = tuple(
        float(value)
        for value in 0.033 * slow * (1 + np.random.default_rng(seed).gamma(2.0, 0.05, 300))
    )
    p50, p90, p99 = np.percentile(latencies, (50, 90, 99))
    percentiles = {"p50": float(p50), "p90": float(p90), "p99": float(p99)}
    yield figure("single-stream", row, "latency", "s", "lower", latencies,
                 percentiles=percentiles, valid=row != "torch", note="672 queries")  # fmt: skip
    for case in ("all named, cold", "3 named, warm"):
        yield figure(
            "files", row, "time", "s", "lower", measured(2 * slow, 5, seed=seed), case=case
        )
    for streams in (1, 4, 16):
        yield figure("streams", row, "p99 lateness", "s", "lower",
                     measured(0.05 * slow * streams**1.3, 5, seed=seed),
                     case=f"{streams} streams", x=streams)  # fmt: skip
    for length in (10, 60, 600, 3600):
        yield figure("length", row, "peak memory", "B", "lower",
                     measured(3e8 + 2e4 * length, 3, 0.001, seed), case=f"{length} s",
                     x=length)  # fmt: skip
    for count in (1, 3, 11):
        yield figure("sources", row, "time", "s", "lower", measured(slow * (1 + count / 8), 3),
                     case=f"{count} sources", x=count)  # fmt: skip
    for batch in (1, 2, 4, 8):
        yield figure("batch", row, "throughput", "windows/s", "higher",
                     measured(30 / slow * batch**0.1, 5, seed=seed), case=f"{batch} windows",
                     x=batch)  # fmt: skip


def make_result():
    rows = (
        *(Row(name=name, kind="engine", detail=f"{name}, 2 threads", precision="fp32",
              accuracy={"network": {"figure": 1e-5, "limit": 1e-4, "passed": True}})
          for name in ENGINES),
        *(Row(name=name, kind="competitor", detail="PyTorch 2.13.0") for name in COMPETITORS),
        Row(name="torch-bf16", kind="competitor", precision="bf16",
            accuracy={"whole": {"figure": 0.4, "limit": 0.01, "passed": False}},
            failure="parity: whole: 0.4 (at most 0.01)"),
        Row(name="openvino", kind="competitor", absent=True,
            failure="openvino: got no module named 'openvino', expected it to load",
            command='pip install "openvino>=2025"'),
    )  # fmt: skip
    figures = [each for i, row in enumerate(SPEED) for each in figures_of(row, i)]
    figures.append(
        Figure(scenario="files", row="torch", name="time", unit="s", better="lower",
               value=float("nan"), case="an hour", failure="EngineError: out of memory")
    )  # fmt: skip
    by_key = {each.key: each for each in figures}
    ratios = tuple(
        ratio(each, by_key[each.scenario, each.case, each.network, "torch", each.name])
        for each in figures
        if each.scenario in ("offline", "files") and each.row != "torch"
    )
    peaks = {
        "arithmetic": {
            "need_s": 0.02,
            "peak": 178e9,
            "unit": "FLOP/s",
            "work": 3.56e9,
            "took_s": 0.034,
            "how": "a GEMM, measured",
        },
        "memory": {
            "need_s": 0.004,
            "peak": 21e9,
            "unit": "B/s",
            "work": 8.4e7,
            "took_s": 0.034,
            "how": "a copy, measured",
        },
    }
    limits = tuple(
        Limits(row=row, shares={"dsp": 0.25, "network": 0.55, "files": 0.15, "rest": 0.05},
               roofline=peaks, words=f"{row} is bound by arithmetic: 59 % of what a GEMM reaches.")
        for row in ENGINES
    )  # fmt: skip
    return Result(
        made="2026-11-29T08:00:00+00:00",
        plan={"engines": [], "minutes": 3.0, "hour": False},
        machine={"cpu": "Example CPU <1>", "cpus": 2, "threads": 2, "load": 0.1,
                 "packages": {"numpy": "2.4", "openvino": None}, "commit": "0" * 40},
        model={"name": "sgn-instruments", "sha256": "ab" * 32, "categories": 11, "window_s": 5.9},
        rows=rows, figures=tuple(figures), ratios=ratios, limits=limits,
    )  # fmt: skip


@pytest.fixture(scope="session")
def result():
    return make_result()


@pytest.fixture
def slower():
    """A run with some figures a number of times worse, of new rounds."""

    def make(result, factor, chosen=lambda figure: True, *, spread=0.02, seed=100):
        def changed(each):
            if not each.values or not chosen(each):
                return each
            worse = factor if each.better == "lower" else 1 / factor
            values = measured(each.value * worse, len(each.values), spread, seed)
            return dataclasses.replace(
                each, values=values, value=float(np.median(values)),
                interval=median_interval(values),
            )  # fmt: skip

        return dataclasses.replace(result, figures=tuple(map(changed, result.figures)))

    return make
