"""Processors: of the machine, and of a container's quota."""

from __future__ import annotations

import os

import pytest

from sgn_rt._processors import available_cpus


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A file system with control groups, on a machine of eight processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)

    def make(groups: str, **files: str):
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups)
        for name, text in files.items():
            path = tmp_path / "sys/fs/cgroup" / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


V1 = "9:name=systemd:/\n4:cpu,cpuacct:/docker/abc\n0::/\n"
QUOTAS = {
    "none": ("0::/\n", {}, 8),
    "no limit": ("0::/\n", {"cpu_DOT_max": "max 100000\n"}, 8),
    "two": ("0::/\n", {"cpu_DOT_max": "200000 100000\n"}, 2),
    "one and a half": ("0::/\n", {"cpu_DOT_max": "150000 100000\n"}, 2),
    "a tenth": ("0::/\n", {"cpu_DOT_max": "10000 100000\n"}, 1),
    "more than there are": ("0::/\n", {"cpu_DOT_max": "6400000 100000\n"}, 8),
    "own group": ("0::/a/b\n", {"a__b__cpu_DOT_max": "300000 100000\n"}, 3),
    "group above": (
        "0::/a/b\n", {"a__b__cpu_DOT_max": "max 100000\n", "a__cpu_DOT_max": "100000 100000\n"}, 1
    ),
    "named as outside": ("0::/../docker/abc\n", {"cpu_DOT_max": "200000 100000\n"}, 2),
    "version 1": (
        V1,
        {"cpu,cpuacct__docker__abc__cpu_DOT_cfs_quota_us": "250000\n",
         "cpu,cpuacct__docker__abc__cpu_DOT_cfs_period_us": "100000\n"}, 3,
    ),
    "version 1, named as outside": (
        V1, {"cpu__cpu_DOT_cfs_quota_us": "50000", "cpu__cpu_DOT_cfs_period_us": "50000"}, 1
    ),
    "version 1, no limit": (
        V1, {"cpu__cpu_DOT_cfs_quota_us": "-1", "cpu__cpu_DOT_cfs_period_us": "100000"}, 8
    ),
    "rubbish": ("0::/\n", {"cpu_DOT_max": "many 0\n"}, 8),
    "no period": ("0::/\n", {"cpu_DOT_max": "100000 0\n"}, 8),
}  # fmt: skip


@pytest.mark.parametrize("name", QUOTAS)
def test_a_quota_of_processors_is_kept(machine, name):
    groups, files, expected = QUOTAS[name]
    assert available_cpus(machine(groups, **files)) == expected


def test_without_control_groups(tmp_path, monkeypatch):
    assert available_cpus(tmp_path) == available_cpus(tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cpus(tmp_path) == 1


def test_here():
    assert 1 <= available_cpus() <= 4096
