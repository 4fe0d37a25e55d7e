"""The process around a command: signals, closed and full streams, terminals, names of any kind."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sgn_rt.cli.process import printable

SGN_RT = [sys.executable, "-m", "sgn_rt"]

AT_THE_FIRST_BLOCK = """
import os, signal, sys
from sgn_rt.audio.writer import AudioWriter
from sgn_rt.cli import main
write = AudioWriter.write
def ends(self, block):
    write(self, block)
    os.kill(os.getpid(), getattr(signal, name))
name = sys.argv.pop(1)
AudioWriter.write = ends
main()
"""
"""A run that sends itself a signal when it has written a block of a stem."""


def disposed(number, handler):
    """Before a process starts: what it does with a signal, however these tests were started."""
    return lambda: signal.signal(number, handler)


def signalled(name, clip, out, **options):
    command = ["separate", clip, "-o", out, "--categories", "tuba,piano"]
    return subprocess.run(
        [sys.executable, "-c", AT_THE_FIRST_BLOCK, name, *command],
        text=True, check=False, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_leaves_nothing_behind(clip, tmp_path, tree, name, code):
    before = disposed(getattr(signal, name), signal.SIG_DFL)
    done = signalled(name, clip, tmp_path / "out", preexec_fn=before)
    assert (done.returncode, done.stdout) == (code, "")
    assert (
        done.stderr.lstrip()
        == f"sgn-rt: error: {'interrupted' if code == 130 else f'ended by {name}'}\n"
    )
    assert tree(tmp_path) == ["clip.wav"]


def test_a_terminal_that_is_hung_up_changes_nothing_in_how_it_ends(clip, tmp_path, tree):
    """Its other end is closed: whatever is told on stderr is an error of the system."""
    ours, theirs = os.openpty()
    os.close(ours)
    before = disposed(signal.SIGHUP, signal.SIG_DFL)
    done = signalled("SIGHUP", clip, tmp_path / "out", stderr=theirs, preexec_fn=before)
    os.close(theirs)
    assert (done.returncode, done.stdout) == (129, "")
    assert tree(tmp_path) == ["clip.wav"]


def test_a_hangup_that_is_ignored_stays_ignored(clip, tmp_path):
    """As ``nohup`` starts it."""
    before = disposed(signal.SIGHUP, signal.SIG_IGN)
    done = signalled("SIGHUP", clip, tmp_path / "out", preexec_fn=before)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "clip" / "tuba.wav").exists()


def test_what_sigkill_leaves_the_next_run_removes(clip, tmp_path, tree):
    assert signalled("SIGKILL", clip, tmp_path / "out").returncode == -signal.SIGKILL
    assert [name for name in tree(tmp_path / "out") if name.endswith(".wav")]
    command = ["separate", clip, "-o", tmp_path / "out", "--categories", "tuba"]
    done = subprocess.run([*SGN_RT, *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    left = [name for name in tree(tmp_path / "out") if not name.endswith("sgn-rt.json")]
    assert left == ["clip", "clip/tuba.wav"]


def call(*arguments, **options):
    return subprocess.run(
        [*SGN_RT, *arguments], stderr=subprocess.PIPE, check=False, text=True, **options
    )


@pytest.mark.parametrize("arguments", [["info"], ["info", "--json", "-"], ["--help"]])
def test_a_full_stdout_ends_in_one_line(arguments):
    with Path("/dev/full").open("w") as full:
        done = call(*arguments, stdout=full)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "stdout: got No space left on device, expected" in done.stderr


def close(*numbers):
    def before():
        for number in numbers:
            os.close(number)

    return before


def test_a_closed_stdout_ends_in_one_line_before_any_work(clip, tmp_path, tree):
    done = call("separate", clip, "-o", tmp_path / "out", preexec_fn=close(1))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "stdout: got a closed one, expected" in done.stderr
    assert tree(tmp_path) == ["clip.wav"]


def test_a_closed_stdin_ends_a_stream_in_one_line():
    done = call("stream", "--rate", "44100", "--categories", "tuba", preexec_fn=close(0))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "stdin: got a closed one, expected" in done.stderr


def test_closed_stdin_and_stderr_are_no_files_numbers(clip, tmp_path):
    """What a library prints to stderr must not land in the first file that is opened."""
    report = tmp_path / "r.json"
    done = subprocess.run(
        [*SGN_RT, "separate", clip, "-o", tmp_path, "--categories", "tuba", "--json", report],
        stdout=subprocess.PIPE, preexec_fn=close(0, 2), check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert list(json.loads(report.read_text())["stems"]) == ["tuba"]


def test_a_reader_that_has_gone_is_no_error_to_tell():
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        done = call("info", stdout=pipe)
    assert (done.returncode, done.stderr) == (1, "")


ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.parametrize("environment", [{}, ASCII, {"PYTHONIOENCODING": "ascii:strict"}])
@pytest.mark.parametrize("name", [b"caf\xc3\xa9.wav", b"caf\xe9.wav", b"\xe6\x97\xa5.wav"])
def test_names_that_the_terminal_does_not_know(clip, tmp_path, environment, name):
    path = os.path.join(os.fsencode(tmp_path), name)
    os.rename(clip, path)
    done = subprocess.run(
        [*SGN_RT, "separate", path, "-o", "out", "--categories", "tuba", "--json", "r.json"],
        env=os.environ | environment, cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    report = json.loads((tmp_path / "r.json").read_bytes())
    assert os.fsencode(report["input"]) == path or environment is ASCII
    assert Path(tmp_path, report["stems"]["tuba"]).exists() or environment is ASCII
    done.stdout.decode("utf-8" if not environment else "ascii")


def test_json_on_stdout_is_ascii(clip, tmp_path, run):
    path = clip.rename(tmp_path / os.fsdecode(b"caf\xe9 \xe6\x97\xa5 \xc2\x9b31m.wav"))
    result = run("separate", path, "-o", tmp_path, "--categories", "tuba", "--json", "-")
    assert result.out.isascii()
    assert json.loads(result.out)["input"] == str(path)


HOSTILE = {
    "\x1b]0;owned\x07": "\\x1b]0;owned\\x07",
    "\x9b31m": "\\x9b31m",
    "a\rb": "a\\rb",
    "right\u202eleft": "right\\u202eleft",
    "caf\udce9": "caf\\udce9",
    "café 日本": "café 日本",
    "two\nlines": "two\nlines",
}


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_what_is_printable(text):
    assert printable(text) == HOSTILE[text]


def test_no_name_reaches_a_terminal_as_it_is(clip, tmp_path, run):
    path = clip.rename(tmp_path / "\x1b]0;owned\x07.wav")
    result = run("separate", path, "-o", tmp_path / "out", "--categories", "tuba")
    assert result.code == 0
    assert "\\x1b]0;owned" in result.out
    failed = run("separate", tmp_path / "\x1b[2J.wav", "-o", tmp_path / "out")
    assert failed.code == 2
    assert "\\x1b[2J" in failed.err
    for text in (result.out, failed.err):
        assert text.replace("\n", "").isprintable()


def test_a_full_disk_ends_in_one_line(clip, tmp_path, tree):
    """By a real limit on the size of files."""
    done = call(
        "separate", clip, "-o", tmp_path / "out", "--categories", "tuba", stdout=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "free space" in done.stderr
    assert tree(tmp_path) == ["clip.wav"]
