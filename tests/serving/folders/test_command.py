"""``sgn-rt separate`` of folders: interrupted in every way, resumed, and equal to single runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.labelled_music import shipped_music
from sgn_rt.serving.folders.state import STATE_FOLDER

SGN_RT = [sys.executable, "-m", "sgn_rt", "separate"]
WAIT_S = 120.0


def excerpts(folder: Path, count: int, seconds: float, broken: int = 0) -> None:
    """Recordings of a fraction of a second, each another; every so many is no audio."""
    samples, rate = soundfile.read(shipped_music() / "003.mix.flac", dtype="float32")
    length = round(seconds * rate)
    for number in range(count):
        path = folder / f"{number % 7}" / f"{number:03}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        if broken and number % broken == broken // 2:
            path.write_bytes(b"no audio")
            continue
        start = number * 997 % (len(samples) - length)
        soundfile.write(path, samples[start : start + length], rate, subtype="FLOAT")


def begin(top: Path, out: Path, *options: object) -> subprocess.Popen[str]:
    """A run in a process group of its own, its lines of JSON on stdout."""
    command = [*SGN_RT, top, "-o", out, "--jsonl", "-", *options]
    return subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Children of a run that are workers."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def rows_of(process: subprocess.Popen[str], count: int) -> list[dict]:
    """The next rows of a run."""
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def finish(process: subprocess.Popen[str]) -> tuple[int, list[dict], str]:
    out, err = process.communicate(timeout=WAIT_S)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def leftovers(out: Path) -> list[str]:
    """Temporaries, and tries that are begun and not ended."""
    found = (str(path.relative_to(out)) for path in out.rglob("*"))
    return [
        name for name in found
        if re.search(r"\.sgn-rt-[0-9a-f]{12}|\.owner$|\.part$", name)
        or re.search(rf"{STATE_FOLDER}/../\w+\.\w+\.\d+$", name)
    ]  # fmt: skip


def gone(pids: list[int]) -> bool:
    """Whether processes end, within the time that tests have."""
    deadline = time.monotonic() + WAIT_S
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_cleanly_and_the_next_run_goes_on(tmp_path, number, code):
    excerpts(tmp_path / "in", 12, 0.3)
    run = begin(tmp_path / "in", tmp_path / "out", "--jobs", 2)
    first = rows_of(run, 3)
    os.killpg(run.pid, number)  # as a terminal does: workers get it, too
    status, more, err = finish(run)
    assert status == code, err
    assert "Traceback" not in err
    assert leftovers(tmp_path / "out") == []
    status, rows, err = finish(begin(tmp_path / "in", tmp_path / "out", "--jobs", 2))
    assert (status, err) == (0, "")
    before = {row["key"] for row in rows if row["status"] == "skipped"}
    assert {row["key"] for row in first + more} <= before
    assert len(rows) == 12
    assert {row["tries"] for row in rows} == {1}


def test_500_recordings_interrupted_three_times(tmp_path):
    """One in a hundred is broken; SIGTERM, SIGKILL of the parent, SIGKILL of a worker."""
    top, out = tmp_path / "in", tmp_path / "out"
    excerpts(top, 500, 0.1, broken=100)
    options = ("--jobs", 2, "--categories", "tuba")
    run = begin(top, out, *options)
    rows_of(run, 40)
    run.send_signal(signal.SIGTERM)
    assert finish(run)[0] == 143
    assert leftovers(out) == []

    run = begin(top, out, *options)
    rows_of(run, 150)
    pids = workers(run)
    run.kill()
    run.communicate()
    assert gone(pids)
    assert leftovers(out) == []  # workers end cleanly where their parent is gone

    run = begin(top, out, *options)
    rows_of(run, 300)
    pids = workers(run)
    assert pids
    os.kill(pids[0], signal.SIGKILL)
    status, rows, err = finish(run)
    assert status == 2
    assert "a worker ended by signal SIGKILL" in err

    status, rows, err = finish(begin(top, out, *options))
    assert status == 2
    assert len(rows) == len({row["key"] for row in rows}) == 500
    failed = {row["key"] for row in rows if row["status"] == "failed"}
    assert failed == {f"{n % 7}/{n:03}.wav" for n in range(50, 500, 100)}
    assert {row["status"] for row in rows if row["key"] not in failed} == {"skipped"}
    assert "5 x got a file that does not read as audio" in err
    assert leftovers(out) == []
    whole = {row["key"]: Path(row["stems"]["tuba"]) for row in rows if row["key"] not in failed}
    assert sorted(out.rglob("*.wav")) == sorted(whole.values())
    picked = sorted(whole)[::33]
    single = [*SGN_RT, *(top / key for key in picked), "-o", tmp_path / "single",
              "--categories", "tuba"]  # fmt: skip
    subprocess.run([*map(str, single)], check=True, capture_output=True)
    for key in picked:
        alone = tmp_path / "single" / Path(key).stem / "tuba.wav"
        assert np.array_equal(soundfile.read(alone)[0], soundfile.read(whole[key])[0])
    for key, stem in whole.items():
        assert soundfile.info(stem).frames == soundfile.info(top / key).frames
