"""Temporary places: gone at the end; a dead owner's go at the next visit, a living one's never."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from sgn_rt import _temporary
from sgn_rt._temporary import PREFIX, remove_leftovers, temporary_file, temporary_folder

HOLDS = """
import sys
from pathlib import Path
from sgn_rt._temporary import temporary_file, temporary_folder
with temporary_folder(Path(sys.argv[1])) as folder, temporary_file(Path(sys.argv[1])):
    (folder / "spool").write_bytes(bytes(1000))
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(folder: Path):
    """A process that holds a temporary folder and file there, until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def test_they_are_gone_at_the_end(tmp_path, tree):
    with temporary_folder(tmp_path) as folder, temporary_file(tmp_path) as (file, handle):
        (folder / "spool").write_text("x")
        os.write(handle, b"x")
        assert folder.name.startswith(PREFIX)
        assert file.name.startswith(PREFIX)
        assert folder.stat().st_mode & 0o777 == 0o700
    assert tree(tmp_path) == []


def test_a_killed_owners_go_and_a_living_ones_stay(tmp_path, tree):
    with another_process(tmp_path) as killed, another_process(tmp_path) as living:
        assert len(remove_leftovers(tmp_path)) == 4
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(tree(tmp_path)) == 2 * 4
        assert len(remove_leftovers(tmp_path)) == 2
        assert len(tree(tmp_path)) == 4
        living.communicate(b"")
        assert tree(tmp_path) == []


def test_one_process_does_not_take_its_own_for_dead(tmp_path, tree):
    with temporary_folder(tmp_path) as folder, temporary_file(tmp_path) as (file, _):
        assert sorted(remove_leftovers(tmp_path)) == sorted([folder, file])
        assert folder.exists()
        assert file.exists()


def test_one_that_is_removed_before_it_is_locked_is_made_again(tmp_path, tree, monkeypatch):
    flock, calls = _temporary.fcntl.flock, []

    def late(handle, operation):
        if not calls:  # another process comes between the file and its lock
            next(tmp_path.glob(f"{PREFIX}*")).unlink()
        calls.append(handle)
        flock(handle, operation)

    monkeypatch.setattr(_temporary.fcntl, "flock", late)
    with temporary_folder(tmp_path) as folder:
        assert len(calls) == 2
        assert remove_leftovers(tmp_path) == [folder]
    assert tree(tmp_path) == []


def test_where_there_are_no_locks_nobody_is_taken_for_dead(tmp_path, monkeypatch):
    def unsupported(handle, operation):
        raise OSError("Operation not supported")

    monkeypatch.setattr(_temporary.fcntl, "flock", unsupported)
    with temporary_folder(tmp_path) as folder:
        assert remove_leftovers(tmp_path) == []
        assert folder.exists()


@pytest.mark.parametrize("ending", [".owner", ".part"])
def test_what_only_looks_like_one_is_left_alone(tmp_path, tree, ending):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("mine")
    (tmp_path / f"{PREFIX}link{ending}").symlink_to(theirs / "file")
    os.mkfifo(tmp_path / f"{PREFIX}pipe{ending}")
    (tmp_path / f"{PREFIX}folder{ending}").mkdir()
    (tmp_path / f"{PREFIX}from-0.1.0").mkdir()
    before = tree(tmp_path)
    assert remove_leftovers(tmp_path) == []
    assert tree(tmp_path) == before


def test_a_leftover_that_is_a_link_does_not_lead_elsewhere(tmp_path):
    """The folder beside a dead owner's file is a link to someone's home."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("mine")
    (tmp_path / f"{PREFIX}dead.owner").touch()
    (tmp_path / f"{PREFIX}dead").symlink_to(theirs)
    assert remove_leftovers(tmp_path) == []
    assert (theirs / "file").read_text() == "mine"
