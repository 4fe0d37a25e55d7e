"""The head of the report: what `nvidia-smi` says, or why it says nothing."""

from __future__ import annotations

import subprocess

import pytest

from sgn_rt.checks.machine import GPU_FIELDS, describe, gpus
from sgn_rt.model.bundle import Bundle


def test_every_gpu_is_described_by_nvidia_smi():
    def query(command):
        assert command[0] == "nvidia-smi"
        row = [f"{field} of it" for field in GPU_FIELDS]
        return "\n".join(", ".join(row) for _ in range(2)) + "\n"

    found = gpus(query)
    assert len(found) == 2
    assert found[0]["driver_version"] == "driver_version of it"


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError("no nvidia-smi"), subprocess.CalledProcessError(9, "nvidia-smi"),
     subprocess.TimeoutExpired("nvidia-smi", 20)],
)  # fmt: skip
def test_an_nvidia_smi_that_does_not_answer_is_told(error):
    def query(command):
        raise error

    assert gpus(query) == f"nvidia-smi: {error}"


def test_the_head_has_versions_and_the_model():
    head = describe(Bundle.open(None), lambda command: "")
    assert head["gpus"] == []
    assert head["packages"]["numpy"]
    assert head["bundle"]["graphs"] == ["core.fp32", "masks.fp32"]
    assert len(head["code"]) == 12
