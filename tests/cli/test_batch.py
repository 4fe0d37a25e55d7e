"""Several recordings in one call: counted, told one by one, and none for another's fault."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import soundfile

from sgn_rt.cli.batch import JsonLines, Status, Wanted, run_batch
from sgn_rt.errors import AudioError, SgnError


@pytest.fixture
def batch(fake_separator, tmp_path, noise, capsys):
    """Recordings by name - how loud they are, or what is no audio -, and a way to separate them."""

    class Batch:
        out, lines = tmp_path / "out", tmp_path / "lines.jsonl"

        def __init__(self) -> None:
            self.separator = fake_separator().separator
            self.inputs = []

        def add(self, name, level=1.0):
            path = tmp_path / name
            if isinstance(level, bytes):
                path.write_bytes(level)
            else:
                sound = level * noise(1, 3000).T
                soundfile.write(os.fsencode(path), sound, 8000, subtype="FLOAT", format="WAV")
            self.inputs.append(path)
            return path

        def run(self, *, tables=True, skip_existing=False, plot=False, **options):
            options = {
                "categories": None, "threshold": None, "residual": False, "format": "wav",
                "start_s": 0.0, "duration_s": None, "level": "auto", "salvage": False,
            } | options  # fmt: skip
            wanted = Wanted(
                output=self.out, options=options, skip_existing=skip_existing, plot=plot
            )
            with JsonLines(self.lines) as lines:
                outcomes = run_batch(self.separator, self.inputs, wanted, lines, tables=tables)
            self.told = capsys.readouterr()
            return [outcome.status for outcome in outcomes]

        def read(self):
            text = self.lines.read_text(encoding="utf-8")
            return [json.loads(line) for line in text.splitlines()]

    return Batch()


def test_each_is_counted_and_told_and_all_at_the_end(batch):
    batch.add("a.wav")
    bad = batch.add("b.wav", b"no audio")
    silent = batch.add("c.wav", 0.0)
    batch.add("d.wav")
    assert batch.run() == [Status.SEPARATED, Status.FAILED, Status.SILENT, Status.SEPARATED]
    assert batch.told.err.startswith(f"sgn-rt: error: [2/4] {bad}: got ")
    assert batch.told.err.count("\n") == 1
    assert f"[1/4] {batch.inputs[0]}  0.4 s" in batch.told.out
    assert f"[3/4] {silent}  digital silence: no stems" in batch.told.out
    assert "[4/4]" in batch.told.out
    assert "4 recordings: 2 separated, 1 silent, 1 failed" in batch.told.out
    assert sorted(path.name for path in batch.out.iterdir()) == ["a", "d"]


def test_a_line_of_json_for_each(batch):
    batch.add("a.wav")
    batch.add("b.wav", b"no audio")
    batch.add("c.wav", 0.0)
    batch.run(tables=False)
    assert batch.told.out == ""
    separated, failed, silent = batch.read()
    assert separated["status"] == "separated"
    assert separated["input"] == str(batch.inputs[0])
    assert separated["stems"]["bell"] == str(batch.out / "a" / "bell.wav")
    assert {"presence", "present", "engine", "timings_s"} <= set(separated)
    assert failed["status"] == "failed"
    assert failed["error"].startswith(f"{batch.inputs[1]}: got ")
    assert silent == {"input": str(batch.inputs[2]), "status": "silent", "stems": {}}


def test_lines_are_there_as_recordings_are_done(batch, monkeypatch):
    batch.add("a.wav")
    batch.add("b.wav")
    seen = []

    def look(*arguments, **options):
        seen.append(batch.lines.read_text().count("\n"))
        raise AudioError("b.wav: got this, expected that. Look.")

    batch.run()
    separate_to = batch.separator.separate_to
    calls = iter([separate_to, look])
    monkeypatch.setattr(batch.separator, "separate_to", lambda *a, **o: next(calls)(*a, **o))
    assert batch.run() == [Status.SEPARATED, Status.FAILED]
    assert seen == [1]


def test_what_is_there_is_skipped(batch, monkeypatch):
    batch.add("a.wav")
    batch.add("b.wav")
    assert batch.run(skip_existing=True) == [Status.SEPARATED, Status.SEPARATED]
    (batch.out / "b" / "drum.wav").unlink()
    assert batch.run(skip_existing=True) == [Status.SKIPPED, Status.SEPARATED]
    assert f"[1/2] {batch.inputs[0]}  skipped" in batch.told.out
    assert batch.read()[0] == {
        "input": str(batch.inputs[0]),
        "status": "skipped",
        "stems": {name: str(batch.out / "a" / f"{name}.wav") for name in ("bell", "drum")},
    }


@pytest.mark.parametrize(
    "options",
    [
        {"format": "flac"},
        {"residual": True},
        {"threshold": 0.4},
        {"categories": ["bell", "drum"]},
        {"start_s": 0.1},
        {"duration_s": 0.2},
        {"level": "off"},
        {"level": 3.0},
        {"salvage": True},
    ],
    ids=str,
)
def test_what_is_there_by_other_options_is_not_skipped(batch, options):
    batch.add("a.wav")
    batch.run()
    assert batch.run(skip_existing=True, **options) == [Status.SEPARATED]
    assert batch.run(skip_existing=True, **options) == [Status.SKIPPED]


def test_what_is_there_by_another_model_or_of_another_sound_is_not_skipped(batch, monkeypatch):
    batch.add("a.wav")
    batch.run()
    monkeypatch.setattr(batch.separator.bundle, "identity", "another")
    assert batch.run(skip_existing=True) == [Status.SEPARATED]
    batch.inputs.clear()
    batch.add("a.wav", 0.5)
    assert batch.run(skip_existing=True) == [Status.SEPARATED]


def test_a_fault_of_this_package_is_told_and_keeps_no_other(batch, monkeypatch):
    batch.add("a.wav")
    batch.add("b.wav")
    separate_to = batch.separator.separate_to

    def fails(path, *arguments, **options):
        if path.name == "a.wav":
            raise UnicodeEncodeError("ascii", "\udce9", 0, 1, "not in range")
        return separate_to(path, *arguments, **options)

    monkeypatch.setattr(batch.separator, "separate_to", fails)
    assert batch.run() == [Status.FAILED, Status.SEPARATED]
    assert "got UnicodeEncodeError: 'ascii' codec can't encode" in batch.told.err
    assert batch.told.err.count("\n") == 1


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_stops_them_all(batch, monkeypatch, stop):
    batch.add("a.wav")
    batch.add("b.wav")

    def interrupted(*arguments, **options):
        raise stop

    monkeypatch.setattr(batch.separator, "separate_to", interrupted)
    with pytest.raises(stop):
        batch.run()


def test_a_single_one_that_fails_is_an_error(batch, fails):
    batch.add("a.wav", b"no audio")
    with fails(AudioError, "does not read as audio"):
        batch.run()
    assert [line["status"] for line in batch.read()] == ["failed"]


def test_a_single_one_of_silence_is_an_error_unless_stems_are_named(batch, fails):
    batch.add("a.wav", 0.0)
    with fails(AudioError, "got digital silence"):
        batch.run()
    assert batch.read()[0]["status"] == "failed"
    assert not batch.out.exists()
    assert batch.run(categories=["bell"]) == [Status.SEPARATED]


def test_names_that_differ_in_their_ending(batch):
    batch.add("a.wav")
    batch.add("a.wave")
    for _ in range(2):
        batch.run()
        stems = [line["stems"]["bell"] for line in batch.read()]
        assert stems == [str(batch.out / name / "bell.wav") for name in ("a", "a.wave")]


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_names_that_are_no_utf_8(batch, kind):
    path = batch.add(os.fsdecode(b"caf\xe9.wav"))
    batch.out = batch.out.with_name(os.fsdecode(b"stems of caf\xe9"))
    batch.add("b.wav")
    assert batch.run(format=kind, residual=True) == [Status.SEPARATED, Status.SEPARATED]
    assert "caf\\udce9.wav" in batch.told.out
    assert batch.read()[0]["input"] == str(path)


def test_a_picture_goes_with_the_stems_and_never_alone(batch, monkeypatch):
    pytest.importorskip("matplotlib")
    from sgn_rt.cli import plot

    drawn = []
    monkeypatch.setattr(plot, "draw_overview", lambda recording, *_, **__: drawn.append(recording))
    monkeypatch.setattr(plot, "as_png", lambda figure: b"picture")
    batch.add("a.wav")
    batch.run(plot=True)
    assert (batch.out / "a" / "overview.png").read_bytes() == b"picture"
    batch.run(plot=True, start_s=0.125, duration_s=0.0625)
    assert [recording.samples for recording in drawn] == [3000, 500]
    batch.run(plot=True)
    assert batch.run(plot=True, skip_existing=True) == [Status.SKIPPED]
    assert batch.run() == [Status.SEPARATED]
    assert not (batch.out / "a" / "overview.png").exists()
    assert batch.run(plot=True, skip_existing=True) == [Status.SEPARATED], "the picture is missing"
    assert (batch.out / "a" / "overview.png").exists()
    batch.run(plot=True, threshold=1.0)
    assert list(batch.out.iterdir()) == []


def test_lines_on_a_full_disk_are_one_error(batch):
    batch.add("a.wav")
    batch.lines = Path("/dev/full")
    with pytest.raises(SgnError, match="/dev/full: got No space left on device"):
        batch.run()


def test_lines_on_stdout(capsys):
    with JsonLines(Path("-")) as lines:
        lines.write({"input": "caf\udce9"})
    assert capsys.readouterr().out == '{"input": "caf\\udce9"}\n'
