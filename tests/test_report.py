"""What a separation tells of itself: as JSON types, and in one line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from sgn_rt.report import Separation, SeparationFiles, Timings

TIMINGS = Timings(load=0.5, warm_up=0.25, separate=2.0)
FOUND = {
    "presence": {"bell": np.float32(0.75), "horn": 0.125},
    "present": ("bell",),
    "presence_rule": "what is probable enough for long enough",
    "sample_rate": 8000,
    "channels": 2,
    "samples": 32000,
    "engine": "onnxruntime",
    "windows": {"tensorrt": 3, "onnxruntime": 5},
    "replacements": ("now onnxruntime, as tensorrt: device lost",),
    "peak": np.float32(0.5),
    "timings": TIMINGS,
}


def test_a_report_is_json_without_samples():
    result = Separation(sources={"bell": np.zeros((2, 32000), np.float32)}, **FOUND)
    told = result.to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["engine"] == {
        "name": "onnxruntime",
        "windows": {"tensorrt": 3, "onnxruntime": 5},
        "replacements": ["now onnxruntime, as tensorrt: device lost"],
    }
    assert told["presence"] == {"bell": 0.75, "horn": 0.125}
    assert (told["duration_s"], told["real_time_factor"], told["peak"]) == (4.0, 0.5, 0.5)
    assert told["timings_s"] == TIMINGS.to_dict() == {"load": 0.5, "warm_up": 0.25, "separate": 2.0}
    assert "sources" not in told


def test_nothing_that_a_report_holds_is_left_out():
    files = SeparationFiles(stems={"bell": Path("out/bell.wav")}, clipped=("bell",), **FOUND)
    told = files.to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["stems"], told["clipped"]) == ({"bell": str(Path("out/bell.wav"))}, ["bell"])
    names = {field.name for field in dataclasses.fields(files)}
    elsewhere = {"windows", "replacements", "timings"}  # in "engine", and with their unit
    assert names - elsewhere <= set(told)


def test_a_report_is_a_line_without_samples():
    result = Separation(sources={"bell": np.zeros((2, 32000), np.float32)}, **FOUND)
    line = "bell of 4.00 s, 8000 Hz, 2 ch, by onnxruntime in 2.00 s>"
    assert repr(result) == f"<Separation: {line}"
    files = SeparationFiles(stems={"bell": Path("bell.wav")}, **FOUND)
    assert repr(files) == f"<SeparationFiles: {line}"
    assert repr(SeparationFiles(stems={}, **FOUND)).startswith("<SeparationFiles: no source of")
