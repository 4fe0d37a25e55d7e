"""Files that appear whole or not at all; devices and pipes that stay what they are."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading

import pytest

from sgn_rt import _atomic
from sgn_rt._atomic import write_named, write_new, write_whole

writers = pytest.mark.parametrize("write", [write_whole, write_named])


@writers
def test_a_file_is_written_and_replaced(tmp_path, tree, write):
    for content in (b"long enough", b"new", b""):
        write(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert tree(tmp_path) == ["file"]


@writers
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_an_error_leaves_what_was_there(tmp_path, tree, monkeypatch, write, call):
    (tmp_path / "file").write_text("old")

    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    if call == "write":
        monkeypatch.setattr(_atomic, "open", full, raising=False)
    else:
        monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "file", b"new")
    assert tree(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


@writers
def test_permissions(tmp_path, write):
    before = os.umask(0o077)
    try:
        write(tmp_path / "new", b"")
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
        os.umask(0o022)
        write(tmp_path / "other", b"")
        assert (tmp_path / "other").stat().st_mode & 0o777 == 0o644
        (tmp_path / "other").chmod(0o640)
        write(tmp_path / "other", b"replaced")
        assert (tmp_path / "other").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


@writers
def test_it_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, write):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("replace"), replace(*names)))
    write(tmp_path / "file", b"content")
    assert calls == ["fsync", "replace", "fsync"]  # the file, its name, the folder


KILLED = """
import os, sys
from pathlib import Path
from sgn_rt import _atomic
os.fsync = lambda handle: os.kill(os.getpid(), 9)
_atomic.write_whole(Path(sys.argv[1]), b"content")
"""


@writers
def test_what_a_killed_writer_left_goes_with_the_next_one(tmp_path, tree, write):
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "file"], check=False)
    assert done.returncode == -9
    assert len(tree(tmp_path)) == 1
    write(tmp_path / "file", b"content")
    assert tree(tmp_path) == ["file"]


def test_a_link_is_replaced_or_followed_as_the_writer_says(tmp_path):
    (tmp_path / "target").write_text("old")
    for name in ("a", "b"):
        (tmp_path / name).symlink_to("target")
    write_whole(tmp_path / "a", b"whole")
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "target").read_text() == "old"
    write_named(tmp_path / "b", b"named")
    assert (tmp_path / "b").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"named"


@writers
def test_a_folder_is_refused(tmp_path, tree, write):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"regular file|directory"):
        write(tmp_path / "folder", b"")
    assert tree(tmp_path) == ["folder"]


def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="no regular file"):
        write_whole(pipe, b"content")
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    write_named(pipe, b"content")
    reader.join()
    assert received == [b"content"]
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["device", "link"])
def test_a_device_stays_one(tmp_path, name):
    """Also for root, who may replace it; not tried on /dev/null, which is everyone's."""
    try:
        os.mknod(tmp_path / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        (tmp_path / "link").symlink_to("device")
        write_named(tmp_path / name, b"content")
    except PermissionError:
        pytest.skip("only root makes devices, and not on every file system")
    assert (tmp_path / "device").is_char_device()
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_what_the_shell_has_open_is_written_to(tmp_path, name):
    script = f"""
from pathlib import Path
from sgn_rt._atomic import write_named
write_named(Path({name!r}), b"content")
"""
    with (tmp_path / "file").open("wb") as file:
        subprocess.run([sys.executable, "-c", script], stdout=file, check=True)
        assert os.path.samestat(os.fstat(file.fileno()), (tmp_path / "file").stat())
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_new_file_never_replaces_one(tmp_path, tree):
    write_new(tmp_path / "file", b"first")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "folder", "link"):
        with pytest.raises(FileExistsError):
            write_new(tmp_path / name, b"second")
    assert tree(tmp_path) == ["file", "folder", "link"]
    assert (tmp_path / "file").read_bytes() == b"first"
    assert not (tmp_path / "link").exists()
