"""The page: what it is about first, then every part; what does not apply in one line."""

from __future__ import annotations

from sgn_rt.checks.check import Outcome, Part, Verdict
from sgn_rt.checks.page import page

HELD = Outcome(verdict=Verdict.HELD, seconds=1.25, figures={"GB/s": 2.0})


def _absent(reason):
    return Outcome(verdict=Verdict.DOES_NOT_APPLY, reason=reason)


def test_the_head_names_the_gpu_and_what_runs_on_it(machine):
    lines = page(machine, {"device/copies": (Part.DEVICE, HELD)}).splitlines()
    assert lines[0] == "sgn-rt 1.0 (sources 0123456789ab), GPU report"
    assert lines[1] == "GPU: Fake GPU, driver 580.1, clocks.sm 1000 MHz"
    assert lines[2] == "CUDA runtime 13.0"
    assert "torch 2.13.0" in lines
    assert "held: 1" in lines
    none = page(machine | {"gpus": "nvidia-smi: no such file"}, {})
    assert none.splitlines()[1] == "GPU: nvidia-smi: no such file"


def test_a_part_that_does_not_apply_is_one_line_with_its_reasons(machine):
    no_gpu = _absent("GPU: got none, expected one. Check it.")
    text = page(machine, {
        "device/copies": (Part.DEVICE, no_gpu),
        "device/graphs": (Part.DEVICE, no_gpu),
        "onnxruntime/cuda": (Part.ONNXRUNTIME, no_gpu),
        "tensorrt/graphs": (Part.TENSORRT, _absent("tensorrt: got none.")),
        "tensorrt-rtx/graphs": (Part.TENSORRT, no_gpu),
    })  # fmt: skip
    assert text.splitlines()[-5:] == [
        "(a) without TensorRT: does not apply: GPU: got none, expected one. Check it.",
        "",
        "(b) ONNX Runtime on the GPU: does not apply: GPU: got none, expected one. Check it.",
        "",
        "(c) TensorRT and TensorRT for RTX: does not apply: tensorrt: got none.; GPU: got none, "
        "expected one. Check it.",
    ]


def test_what_fails_is_named_first_and_told_in_full(machine):
    failed = Outcome(verdict=Verdict.FAILED, seconds=0.5, reason="Traceback\n  line\nError: x")
    reason = "tensorrt-rtx 1.7: got sm90, expected one of sm80."
    text = page(machine, {
        "device/copies": (Part.DEVICE, HELD),
        "device/graphs": (Part.DEVICE, failed),
        "tensorrt/graphs": (Part.TENSORRT, HELD),
        "tensorrt-rtx/graphs": (Part.TENSORRT, _absent(reason)),
        "tensorrt-rtx/parts": (Part.TENSORRT, _absent(reason)),
    })  # fmt: skip
    assert "held: 2, FAILED: 1, does not apply: 2 (device/graphs)" in text
    assert text.endswith(f"""\
(a) without TensorRT
  device/copies: held in 1.2 s
      GB/s: 2
  device/graphs: FAILED in 0.5 s
      Traceback
        line
      Error: x

(c) TensorRT and TensorRT for RTX
  tensorrt/graphs: held in 1.2 s
      GB/s: 2
  tensorrt-rtx/graphs: does not apply: {reason}
  tensorrt-rtx/parts: does not apply: as above
""")


def test_rows_are_a_table(machine):
    rows = [{"kernel": "framing", "us": 1.0}, {"kernel": "overlap-add", "us": 12.5}]
    outcome = Outcome(verdict=Verdict.HELD, figures={"times": rows})
    lines = page(machine, {"device/times": (Part.DEVICE, outcome)}).splitlines()
    assert lines[-4:] == [
        "      times:",
        "        kernel         us",
        "        framing         1",
        "        overlap-add  12.5",
    ]
