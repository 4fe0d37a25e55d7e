"""A library of a driver that is none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


class FakeNvml:
    """Two GPUs; what is not in ``answers`` they do not support."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    class NVMLError(Exception):
        pass

    def __init__(self, **answers):
        self.answers = {
            "nvmlDeviceGetCount": 2,
            "nvmlSystemGetDriverVersion": "580.1",
            "nvmlDeviceGetName": "Fake GPU",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=8 << 30, used=1 << 30),
            "nvmlDeviceGetPowerManagementLimit": 300_000,
            "nvmlDeviceGetTotalEnergyConsumption": 5_000,
        } | answers
        self.is_open = False

    def nvmlInit(self):  # noqa: N802
        self.is_open = True

    def nvmlShutdown(self):  # noqa: N802
        self.is_open = False

    def nvmlDeviceGetHandleByIndex(self, number):  # noqa: N802
        return number

    def __getattr__(self, name):
        def ask(*arguments):
            if self.answers.get(name) is None:
                raise self.NVMLError("Not Supported")
            return self.answers[name]

        return ask


@pytest.fixture
def fake_nvml():
    return FakeNvml
