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

from sgn_rt.serving.folders.state import STATE_FOLDER

WAIT_S = 300.0
"""For what takes seconds, if nobody else is at work."""

PLANTED = """
import os, signal, sys

def look(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        name = os.path.basename(os.fsdecode(arguments[0]))
        if name == "killing.wav":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "ending.wav":
            os._exit(3)

sys.addaudithook(look)
"""
"""Python runs it in every process: two recordings end whatever opens them, as a fault of a library
or too little memory would."""


class Place:
    """Recordings in a folder, and the command on them, in a process of its own."""

    def __init__(self, tmp_path: Path, bundle: Path, material: list[np.ndarray]) -> None:
        self.top, self.out, self.temporary = (tmp_path / name for name in ("in", "out", "tmp"))
        self.errors = tmp_path / "stderr"
        self.temporary.mkdir()
        self._bundle, self._material = bundle, material
        self._environment = os.environ | {"TMPDIR": str(self.temporary)}
        self.good: dict[str, int] = {}

    def add(self, count: int, broken: int = 0, **more: int) -> None:
        """So many in seven folders, every so many no audio; and others by name, of which sound."""
        for number in range(count):
            name = f"{number % 7}/{number:03}.wav"
            if broken and number % broken == broken // 2:
                path = self.top / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"no audio")
            else:
                self._put(name, number % len(self._material))
                self.good[name] = number % len(self._material)
        for name, which in more.items():
            self._put(f"{name}.wav", which)

    def _put(self, name: str, which: int) -> None:
        (self.top / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(self.top / name, self._material[which], 8000, subtype="FLOAT")

    def plant(self, code: str) -> None:
        """Have Python run something in every process of the command."""
        (self.temporary.parent / "planted").mkdir()
        (self.temporary.parent / "planted" / "sitecustomize.py").write_text(code)
        self._environment["PYTHONPATH"] = str(self.temporary.parent / "planted")

    def begin(self, *options: object, inputs=None) -> subprocess.Popen[str]:
        """In a process group of its own; lines of JSON on its stdout."""
        command = [
            sys.executable, "-m", "sgn_rt", "separate", *(inputs or [self.top]), "-o", self.out,
            "--bundle", self._bundle, "--engine", "onnxruntime", "--categories", "bell,horn",
            "--jsonl", "-", *options,
        ]  # fmt: skip
        with self.errors.open("w") as errors:
            return subprocess.Popen(
                [*map(str, command)], stdout=subprocess.PIPE, stderr=errors, text=True,
                start_new_session=True, env=self._environment,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )  # fmt: skip

    def finish(self, run: subprocess.Popen[str]) -> tuple[int, list[dict], str]:
        """Its exit code, what is left of its rows, and what it said on stderr."""
        with run:
            rows = [json.loads(line) for line in run.stdout]
        return run.returncode, rows, self.errors.read_text()

    def expect_stems(self, rows: list[dict], stems: list[dict[str, np.ndarray]]) -> None:
        """Every good recording has its stems, sample by sample, and there are no others."""
        whole = {row["key"]: row["stems"] for row in rows if row["status"] != "failed"}
        assert whole.keys() == self.good.keys()
        for key, which in self.good.items():
            assert whole[key].keys() == stems[which].keys()
            for name, samples in stems[which].items():
                np.testing.assert_array_equal(soundfile.read(whole[key][name])[0], samples)
        written = {path for each in whole.values() for path in each.values()}
        assert {str(path) for path in self.out.rglob("*.wav")} == written
        assert self.leftovers() == []

    def leftovers(self) -> list[str]:
        """Temporaries, and tries that are begun and not ended."""
        found = (str(path.relative_to(self.out)) for path in self.out.rglob("*"))
        return [*map(str, self.temporary.glob("sgn-rt-*"))] + [
            name for name in found
            if re.search(r"\.sgn-rt-[0-9a-f]{12}|\.owner$|\.part$", name)
            or re.search(rf"{STATE_FOLDER}/../\w+\.\w+\.\d+$", name)
        ]  # fmt: skip


@pytest.fixture
def place(tmp_path, small_bundle, material) -> Place:
    return Place(tmp_path, small_bundle, material)


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Children of a run that are workers."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def rows_of(process: subprocess.Popen[str], count: int) -> list[dict]:
    """The next rows of a run."""
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def gone(pids: list[int]) -> bool:
    """Whether processes end, within the time that tests have."""
    deadline = time.monotonic() + WAIT_S
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_cleanly_and_the_next_run_goes_on(place, number, code):
    place.add(40)
    run = place.begin("--jobs", 2)
    first = rows_of(run, 3)
    os.killpg(run.pid, number)  # as a terminal does: workers get it, too
    status, more, err = place.finish(run)
    assert status == code, err
    assert "Traceback" not in err
    assert place.leftovers() == []
    status, rows, err = place.finish(place.begin("--jobs", 2))
    assert (status, err) == (0, "")
    before = {row["key"] for row in rows if row["status"] == "skipped"}
    assert {row["key"] for row in first + more} <= before
    assert len(rows) == 40
    assert {row["tries"] for row in rows} == {1}


def test_500_recordings_interrupted_three_times(place, stems):
    """One in a hundred is broken; SIGTERM, SIGKILL of the parent, SIGKILL of a worker."""
    place.add(500, broken=100)
    run = place.begin("--jobs", 2)
    rows_of(run, 40)
    run.send_signal(signal.SIGTERM)
    assert place.finish(run)[0] == 143
    assert place.leftovers() == []

    run = place.begin("--jobs", 2)
    rows_of(run, 150)
    pids = workers(run)
    run.kill()
    with run:
        pass
    assert gone(pids)
    assert place.leftovers() == []  # workers end cleanly where their parent is gone

    run = place.begin("--jobs", 2)
    rows_of(run, 300)
    pids = workers(run)
    assert pids
    os.kill(pids[0], signal.SIGKILL)
    status, rows, err = place.finish(run)
    assert status == 2
    assert "a worker ended by signal SIGKILL" in err

    status, rows, err = place.finish(place.begin("--jobs", 2))
    assert status == 2
    assert len(rows) == len({row["key"] for row in rows}) == 500
    failed = {row["key"] for row in rows if row["status"] == "failed"}
    assert failed == {f"{n % 7}/{n:03}.wav" for n in range(50, 500, 100)}
    assert {row["status"] for row in rows if row["key"] not in failed} == {"skipped"}
    assert "5 x got a file that does not read as audio" in err
    place.expect_stems(rows, stems)


@pytest.mark.parametrize("named", [False, True], ids=["a folder", "named files"])
def test_recordings_that_end_their_process_are_given_up_and_take_none_along(place, stems, named):
    place.plant(PLANTED)
    place.add(20, killing=0, ending=1)
    inputs = sorted(place.top.rglob("*.wav")) if named else [place.top]
    if named:
        place.good = {Path(key).name: which for key, which in place.good.items()}
    options = ("--jobs", 2, "--tries", 2)
    status, rows, err = place.finish(place.begin(*options, inputs=inputs))
    assert status == 2, err
    failed = {row["key"]: row for row in rows if row["status"] == "failed"}
    assert failed.keys() == {"killing.wav", "ending.wav"}
    for row in failed.values():
        assert row["tries"] == 2
        assert "got 2 tries that failed or ended their process" in row["error"]
    # Two tries each; but both may once have been at the same worker, whose end was a try of either.
    ends = [err.count(f"a worker ended by {how}") for how in ("signal SIGKILL", "exit code 3")]
    assert set(ends) <= {1, 2}
    assert sum(ends) >= 3
    place.expect_stems(rows, stems)
    assert (place.out / STATE_FOLDER).exists() != named
    if not named:
        status, again, err = place.finish(place.begin(*options))
        assert (status, len(again)) == (2, 22)
        assert "a worker ended" not in err, "who was given up is not tried again"


@pytest.fixture
def disk(tmp_path):
    """Has a folder on a file system of a size, or changes that, where this user may."""
    mounted = []

    def mount(folder: Path, size: str) -> None:
        folder.mkdir(exist_ok=True)
        options = f"size={size}" + (",remount" if folder in mounted else "")
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mount: not permitted")
        if folder not in mounted:
            mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_the_run_and_the_next_goes_on(place, stems, disk):
    disk(place.out, "512k")
    place.add(50)
    status, rows, err = place.finish(place.begin("--jobs", 2))
    assert status == 2
    (line,) = err.splitlines()
    assert line.startswith("sgn-rt: error: ")
    assert "expected to write stems there. The disk at " in line
    assert re.search(rf"at {place.out} has \d\.\d MB of free space\. Make room, ", line), line
    assert 0 < len(rows) < 50
    assert {row["status"] for row in rows} == {"separated"}
    assert place.leftovers() == []
    disk(place.out, "16m")
    status, again, err = place.finish(place.begin("--jobs", 2))
    assert (status, err) == (0, "")
    assert {row["key"] for row in rows} <= {r["key"] for r in again if r["status"] == "skipped"}
    place.expect_stems(again, stems)
