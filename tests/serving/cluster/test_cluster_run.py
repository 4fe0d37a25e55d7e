"""Recordings on a cluster: lost nodes, killed workers, interrupted runs, files that kill."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.run_manifest import RUN_MANIFEST
from sgn_rt.errors import EngineError
from sgn_rt.serving.cluster import run as cluster_run
from sgn_rt.serving.cluster.actor import SeparatingActor
from sgn_rt.serving.cluster.plan import Pool
from sgn_rt.serving.cluster.run import Cluster, separate_on_ray
from sgn_rt.serving.folders.run import Earlier
from sgn_rt.serving.folders.state import STATE_FOLDER

ray = pytest.importorskip("ray")
# Ray's own settings warn when they are copied.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")

HELD = "held"
"""Name of a file; while it is there, some recordings take for ever."""
POISON = b"RIFF, and the end of whoever reads it"


class DeadlyActor(SeparatingActor):
    """One that some files end, and others hold up; it tells who it is."""

    def _open(self, opening, expected):
        super()._open(opening, expected)
        pids = self._work.output.parent / "pids"
        pids.mkdir(exist_ok=True)
        (pids / str(os.getpid())).touch()
        separate_to = self._separator.separate_to

        def or_die(path, *arguments, **options):
            if path.read_bytes() == POISON:
                os.kill(os.getpid(), signal.SIGKILL)
            while path.name == "000.wav" and (path.parent.parent / HELD).exists():
                time.sleep(0.05)
            return separate_to(path, *arguments, **options)

        self._separator.separate_to = or_die


@pytest.fixture
def deadly(monkeypatch):
    """Have runs of this process use such actors."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(cluster_run, "SeparatingActor", DeadlyActor)
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


KILLED = """
import pickle, sys
from sgn_rt.serving.cluster.run import Cluster, separate_on_ray
from sgn_rt.serving.folders.run import Earlier
for done in separate_on_ray(*pickle.load(sys.stdin.buffer)):
    print(done.key, flush=True)
"""


def killed_after(rows: int, place, cluster: Cluster) -> None:
    """A run whose process gets SIGKILL after it told of so many recordings."""
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with run:
        pickle.dump((place.entries, place.opening, place.work, cluster), run.stdin)
        run.stdin.close()
        for _ in range(rows):
            assert run.stdout.readline()
        run.kill()
    assert run.returncode == -signal.SIGKILL


def a_worker(place) -> int:
    """One of the processes that are at work."""
    for path in (place.output.parent / "pids").iterdir():
        try:
            os.kill(int(path.name), 0)
        except ProcessLookupError:
            continue
        return int(path.name)
    raise AssertionError("no worker lives")


def tries_of(place) -> list[Path]:
    """Tries that are begun and not finished."""
    return [path for path in (place.output / STATE_FOLDER).rglob("*") if path.suffix == ".1"]


def expect_whole(place, stems, good: int) -> None:
    """Every good recording has its stems, those of the run in one process, and nothing else is."""
    for number in range(good):
        folder = place.output / f"{number:03}"
        expected = stems[number % len(stems)]
        assert {path.name for path in folder.iterdir()} == {
            RUN_MANIFEST, *(f"{name}.wav" for name in expected),
        }  # fmt: skip
        for name, samples in expected.items():
            found, _ = soundfile.read(folder / f"{name}.wav")
            np.testing.assert_array_equal(found, samples)
    assert {path.name for path in place.output.iterdir()} == {
        STATE_FOLDER, *(f"{number:03}" for number in range(good)),
    }  # fmt: skip
    state = [path for path in (place.output / STATE_FOLDER).rglob("*") if path.is_file()]
    assert {path.suffix for path in state} == {".json"}
    assert len(state) == len(place.entries)


GOOD, BROKEN = 494, 5


def test_five_hundred_files_a_lost_node_and_three_interruptions(nodes, place, stems, deadly, capfd):
    """Every good one whole, and computed once but for those that were at work at the time."""
    place.add(GOOD, **{f"broken{i}": b"no sound" for i in range(BROKEN)}, poison=POISON)
    cluster, outcome = Cluster(address=nodes.address, pool=Pool(2, 2)), {}
    told = (place.entries, place.opening, place.work, cluster)

    held = place.output.parent / HELD
    held.touch()
    rows = separate_on_ray(*told)
    for _ in range(60):
        done = next(rows)
        outcome[done.key] = done.row
    assert "000.wav" not in outcome
    assert tries_of(place)
    with pytest.raises(KeyboardInterrupt):
        rows.throw(KeyboardInterrupt)
    assert tries_of(place) == []  # what was at work does not count
    held.unlink()

    killed_after(150, place, cluster)

    kinds: Counter[type] = Counter()
    for count, done in enumerate(separate_on_ray(*told)):
        kinds[type(done)] += 1
        assert isinstance(done, Earlier) or done.key not in outcome  # none is done again
        outcome[done.key] = done.row
        if count == 250:
            nodes.lose()
        if count == 330:
            os.kill(a_worker(place), signal.SIGKILL)

    assert kinds[Earlier] >= 150
    assert len(outcome) == len(place.entries) == 500
    failed = {key: row for key, row in outcome.items() if row["status"] == "failed"}
    assert sorted(failed) == [*(f"broken{i}.wav" for i in range(BROKEN)), "poison.wav"]
    assert failed["poison.wav"]["tries"] == place.work.tries
    assert "2 tries that failed or ended their process" in failed["poison.wav"]["error"]
    assert "does not read as audio" in failed["broken0.wav"]["error"]
    expect_whole(place, stems, GOOD)
    # A process works on one at a time: those of the killed run, of the node and of the worker.
    repeated = sum(row["tries"] - 1 for key, row in outcome.items() if key not in failed)
    assert repeated <= 2 + 1 + 1

    assert "raylet" not in capfd.readouterr().out


def test_an_engine_that_does_not_start_is_told_once(nodes, place, fails):
    place.add(20)
    place.opening["engine"] = "onnxruntime:waveform.fp16"
    cluster = Cluster(address=nodes.address, pool=Pool(1, 1))
    with fails(EngineError, "node ", "waveform.fp16"):
        list(separate_on_ray(place.entries, place.opening, place.work, cluster))
    assert not [path for path in place.output.rglob("*") if path.is_file()]
