"""Abuse of the files that a user names for reports: devices, pipes, links, folders."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from sgn_rt.cli.common import write_json
from sgn_rt.errors import AudioError


@pytest.fixture
def device(tmp_path) -> Path:
    """As /dev/null, which is everyone's."""
    path = tmp_path / "null"
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.write_bytes(b"")
    except PermissionError:
        pytest.skip("only root makes devices, and not on every file system")
    return path


@pytest.mark.parametrize(
    "command",
    [("info", "--json"), ("parity", "--engine", "torch", "--junit"), ("doctor", "--json")],
    ids=" ".join,
)
def test_no_report_replaces_a_device(run, device, command):
    assert run(*command, device).code == 0
    assert device.is_char_device()
    assert [path.name for path in device.parent.iterdir()] == ["null"]


def test_a_report_to_a_pipe(run, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    assert run("info", "--json", pipe).code == 0
    reader.join()
    assert json.loads(received[0])["config"]["categories"]
    assert pipe.is_fifo()


def test_a_report_of_names_that_are_no_utf_8(tmp_path):
    value = {"input": os.fsdecode(b"caf\xe9 \x1b[2J")}
    write_json(tmp_path / "r.json", value)
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8")) == value


@pytest.mark.parametrize("name", ["", "/", "r.json/deeper", "n" * 300], ids=lambda n: ascii(n[:9]))
def test_places_that_no_report_can_be_written_to(run, tmp_path, fails, name):
    (tmp_path / "r.json").write_text("mine")
    place = Path(f"{tmp_path}/{name}")
    with fails(AudioError, "expected to write a file there"):
        write_json(place, {})
    assert run("info", "--json", place).code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
    assert (tmp_path / "r.json").read_text() == "mine"
