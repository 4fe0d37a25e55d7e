"""Who gets which entry when, on members that are made to die, in this process."""

from __future__ import annotations

from contextlib import closing
from multiprocessing import Pipe

import pytest
import soundfile

from sgn_rt.audio.writer import AudioWriter, writing
from sgn_rt.errors import EngineError, StorageError
from sgn_rt.serving.folders.crew import Crew, Here, Lost, Member
from sgn_rt.serving.folders.desk import Done, Ready, Work
from sgn_rt.serving.folders.entry import Entry
from sgn_rt.serving.folders.one import separate_one
from sgn_rt.serving.folders.run import Earlier, Run


@pytest.fixture
def entries(tmp_path, noise):
    made = []
    for number in range(6):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, noise(1, 1000, number).T, 8000, subtype="FLOAT")
        made.append(Entry(path=path, key=path.name, folder=path.stem, options={}))
    return made


@pytest.fixture
def work(tmp_path):
    return Work(output=tmp_path / "out", options={"categories": ["bell"]}, fingerprint="f")


class Mortal(Member):
    """Works when it is heard, and dies of some entries, as a process does: the try stays."""

    def __init__(self, separator, work, deadly, made):
        ours, self._theirs = Pipe()
        super().__init__(ours, 2)
        self._separator, self._work, self._deadly = separator, work, deadly
        self.company = []
        made.append(self)
        self._theirs.send(Ready())

    def begin(self, entry, *, alone=False):
        super().begin(entry, alone=alone)
        self.company.append(len(self.entries))
        state = self._work.state()
        if entry.key in self._deadly:
            if state.begin(entry) <= self._work.tries:
                self._theirs.close()
                return
            state.withdraw(entry)
        if not self._theirs.closed:
            row = separate_one(self._separator, entry, self._work.output, self._work.options, state)
            self._theirs.send(Done(entry.key, row))

    def order(self, what):
        if not isinstance(what, Entry):
            self._theirs.close()

    def ended(self):
        return "signal SIGKILL"

    def kill(self):
        return True


def test_what_kills_its_worker_is_given_up_and_takes_nobody_along(entries, work, fake_separator):
    separator, made = fake_separator().separator, []
    with (
        Crew(lambda: Mortal(separator, work, {"2.wav"}, made), 2, work.state()) as crew,
        closing(Run(crew, entries, work).events()) as events,
    ):
        told = list(events)
    rows = {event.key: event.row for event in told if isinstance(event, Done)}
    assert len(rows) == sum(isinstance(event, Done) for event in told) == 6
    assert {key for key, row in rows.items() if row["status"] == "failed"} == {"2.wav"}
    assert "got 3 tries that failed or ended their process" in rows["2.wav"]["error"]
    assert sum(isinstance(event, Lost) for event in told) == 3
    assert not crew.members
    again = Crew(lambda: Mortal(separator, work, set(), made), 2)
    with again, closing(Run(again, entries, work).events()) as events:
        assert {type(event) for event in events} == {Earlier}


def test_threads_here_do_the_same(entries, work, fake_separator):
    separator = fake_separator().separator
    with Crew(lambda: Here(separator, work, 3), 1) as crew:
        keys = [e.key for e in Run(crew, entries, work).events() if isinstance(e, Done)]
    assert sorted(keys) == [entry.key for entry in entries]


def test_a_full_disk_ends_the_run(entries, work, fake_separator, monkeypatch):
    def full(self, block):
        with writing(self.path):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(AudioWriter, "write", full)
    separator = fake_separator().separator
    with (
        pytest.raises(StorageError, match="No space left"),
        Crew(lambda: Here(separator, work, 2), 1, work.state()) as crew,
    ):
        list(Run(crew, entries, work).events())
    assert not crew.members
    assert work.state().unfinished() == frozenset()
    assert not list(work.output.rglob("*.wav"))


def test_workers_that_never_open_the_model_end_the_run(entries, work):
    class Stillborn(Mortal):
        def begin(self, entry, *, alone=False):
            Member.begin(self, entry, alone=alone)
            if not self._theirs.closed:
                assert isinstance(self.connection.recv(), Ready)  # which nobody hears
                self._theirs.close()

    with (
        pytest.raises(EngineError, match="got 3 that ended while they opened the model"),
        Crew(lambda: Stillborn(None, work, set(), []), 1) as crew,
    ):
        list(Run(crew, entries, work).events())
