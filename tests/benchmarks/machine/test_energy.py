"""Energy by counters that the test turns."""

from __future__ import annotations

import pytest

from sgn_rt.benchmarks.machine.energy import CPU, GPU, EnergyMeter, Metered, Rapl
from sgn_rt.benchmarks.machine.nvml import Nvml


@pytest.fixture
def powercap(tmp_path):
    """Two packages; the first has a part, which it counts already."""
    for name, count in (("intel-rapl:0", 100), ("intel-rapl:0:0", 70), ("intel-rapl:1", 900)):
        zone = tmp_path / name
        zone.mkdir()
        (zone / "energy_uj").write_text(f"{count}\n")
        (zone / "max_energy_range_uj").write_text("1000\n")
    return tmp_path


def count(powercap, zone, value):
    (powercap / zone / "energy_uj").write_text(f"{value}\n")


def test_packages_are_summed_and_a_counter_begins_again(powercap):
    meter = EnergyMeter(Rapl(powercap), "no driver")
    assert meter.sources == (CPU,)

    def run():
        count(powercap, "intel-rapl:0", 350)
        count(powercap, "intel-rapl:0:0", 999)
        count(powercap, "intel-rapl:1", 50)  # over its end once

    assert meter.measure(run) == {CPU: pytest.approx((250 + 150) / 1e6)}


def test_what_may_not_be_read_is_not_told(tmp_path, powercap):
    for name in ("intel-rapl:0", "intel-rapl:1"):
        (powercap / name / "energy_uj").unlink()
    assert not Rapl(powercap).tells
    assert not Rapl(tmp_path / "none").tells
    meter = EnergyMeter(Rapl(tmp_path / "none"), "no driver")
    calls = []
    metered = Metered(lambda: calls.append(1), meter)
    metered()
    assert calls == [1]
    assert metered.joules(1) == {}


def test_gpus_are_summed_and_the_warm_up_is_left_out(tmp_path, fake_nvml):
    library = fake_nvml()
    meter = EnergyMeter(Rapl(tmp_path), Nvml(library))
    assert meter.sources == (GPU,)
    spent = iter([9_000, 1_000, 2_000, 3_000])

    def run():
        library.answers["nvmlDeviceGetTotalEnergyConsumption"] += next(spent)

    metered = Metered(run, meter)
    for _ in range(4):
        metered()
    assert metered.joules(3) == {GPU: [2.0, 4.0, 6.0]}  # mJ of each of two


def test_a_gpu_that_counts_none(tmp_path, fake_nvml):
    nvml = Nvml(fake_nvml(nvmlDeviceGetTotalEnergyConsumption=None))
    assert EnergyMeter(Rapl(tmp_path), nvml).sources == ()
