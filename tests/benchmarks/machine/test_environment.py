"""The environment, from files of another machine, and of a driver that is none."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sgn_rt.benchmarks.machine import environment, memory
from sgn_rt.benchmarks.machine.nvml import Nvml


@pytest.fixture
def root(tmp_path):
    files = {
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: Fake 9000: X\ncpu MHz\t\t: 2300.5\n",
        "proc/meminfo": "MemTotal:       1000 kB\nMemFree: 1 kB\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "3700000\n",
        "sys/devices/system/cpu/cpu0/cache/index0/level": "1\n",
        "sys/devices/system/cpu/cpu0/cache/index0/type": "Data\n",
        "sys/devices/system/cpu/cpu0/cache/index0/size": "48K\n",
        "sys/devices/system/cpu/cpu0/cache/index1/level": "1\n",
        "sys/devices/system/cpu/cpu0/cache/index1/type": "Instruction\n",
        "sys/devices/system/cpu/cpu0/cache/index1/size": "32K\n",
        "sys/devices/system/cpu/cpu0/cache/index3/level": "3\n",
        "sys/devices/system/cpu/cpu0/cache/index3/type": "Unified\n",
        "sys/devices/system/cpu/cpu0/cache/index3/size": "32768K\n",
        "sys/devices/system/node/node0/x": "",
        "sys/devices/system/node/node1/x": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_processor_and_memory(root):
    assert environment.cpu_model(root) == "Fake 9000: X"
    assert environment.cpu_facts(root) == {
        "mhz": 2300.5, "max_mhz": 3700.0, "governor": "powersave", "boost": None, "smt": None,
        "numa_nodes": 2, "caches": {"L1": "48K", "L3": "32768K"},
    }  # fmt: skip
    assert environment.memory_bytes(root) == 1000 * 1024
    assert environment.last_level_cache(root) == 32768 * 1024


def test_what_a_system_does_not_tell_is_none(tmp_path):
    facts = environment.cpu_facts(tmp_path)
    assert facts.pop("caches") == {}
    assert set(facts.values()) == {None}
    assert environment.memory_bytes(tmp_path) is None
    assert environment.last_level_cache(tmp_path) is None
    assert environment.cpu_model(tmp_path)


def test_all_of_it_is_json():
    told = json.loads(json.dumps(environment.describe(3)))
    assert told["threads"] == 3
    assert told["packages"]["numpy"]
    assert told["gpus"]


def test_the_commit_of_a_checkout_and_whether_it_is_changed(tmp_path):
    def git(*arguments):
        options = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        command = ("git", "-C", str(tmp_path), *options, *arguments)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert environment.commit(tmp_path) is None  # in no checkout
    git("init", "--quiet")
    (tmp_path / "__init__.py").write_text("")
    assert environment.commit(tmp_path) is None  # not under version control, whoever's this is
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    assert environment.commit(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "__init__.py").write_text("changed")
    assert environment.commit(tmp_path) == git("rev-parse", "HEAD") + "+"


def test_gpus_with_what_they_do_not_tell_left_empty(fake_nvml):
    library = fake_nvml(nvmlDeviceGetClockInfo=1800)
    (first, second) = Nvml(library).gpus()
    assert first == second == {
        "driver": "580.1", "name": "Fake GPU", "memory_bytes": 8 << 30, "power_limit_w": 300.0,
        "sm_mhz": 1800, "sm_max_mhz": None, "memory_mhz": 1800, "memory_max_mhz": None,
        "temperature_c": None,
    }  # fmt: skip


def test_nvml_is_opened_and_closed(fake_nvml, monkeypatch):
    library = fake_nvml()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert len(environment.gpus()) == 2
    assert not library.is_open


def test_without_a_driver_or_the_package_it_says_why(fake_nvml, monkeypatch):
    library = fake_nvml()

    def no_driver():
        raise library.NVMLError("Driver Not Loaded")

    library.nvmlInit = no_driver
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert environment.gpus() == "NVML: Driver Not Loaded"
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "nvidia-ml-py" in environment.gpus() or "[bench]" in environment.gpus()


def test_device_memory_is_what_came_on_top(fake_nvml, monkeypatch):
    library = fake_nvml()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr(memory, "LOOK_S", 1000.0)  # only what this test asks for
    room = library.answers["nvmlDeviceGetMemoryInfo"]
    with memory.device_peak() as peak:
        room.used += 100
        peak.look()
        room.used -= 50
        peak.look()
        assert peak.bytes == 200  # of both
        assert library.is_open
    assert not library.is_open


def test_device_memory_without_a_driver_is_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with memory.device_peak() as peak:
        peak.look()
    assert peak.bytes == 0
