"""Several recordings in one call: counted, told one by one, and none for another's fault."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from pathlib import Path

import pytest
import soundfile

from sgn_rt.cli.json_lines import JsonLines
from sgn_rt.errors import AudioError
from sgn_rt.separator import Separator


@pytest.fixture
def batch(fake_separator, tmp_path, noise, run, monkeypatch):
    """Recordings by name - how loud they are, or what is no audio -, and the command on them."""
    separator = fake_separator().separator
    monkeypatch.setattr(Separator, "open", lambda **options: nullcontext(separator))
    monkeypatch.setattr("sgn_rt.cli.separate.fingerprint_of", lambda *_: "f")

    class Batch:
        out, lines = tmp_path / "out", tmp_path / "lines.jsonl"

        def __init__(self) -> None:
            self.separator, self.inputs = separator, []

        def add(self, name, level=1.0):
            path = tmp_path / name
            if isinstance(level, bytes):
                path.write_bytes(level)
            else:
                sound = level * noise(1, 3000).T
                soundfile.write(os.fsencode(path), sound, 8000, subtype="FLOAT", format="WAV")
            self.inputs.append(path)
            return path

        def command(self, *options):
            return run("separate", *self.inputs, "-o", self.out, *options)

        def run(self, *options):
            self.told = self.command("--jsonl", self.lines, *options)
            return [line["status"] for line in self.read()]

        def read(self):
            text = self.lines.read_text(encoding="utf-8")
            return [json.loads(line) for line in text.splitlines()]

    return Batch()


def test_each_is_counted_and_told_and_all_at_the_end(batch):
    batch.add("a.wav")
    bad = batch.add("b.wav", b"no audio")
    silent = batch.add("c.wav", 0.0)
    batch.add("d.wav")
    assert batch.run() == ["separated", "failed", "silent", "separated"]
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
    batch.run("--json", "-")
    assert [row["status"] for row in json.loads(batch.told.out)] == ["separated", "silent"]
    separated, failed, silent = batch.read()
    assert separated["status"] == "separated"
    assert separated["input"] == str(batch.inputs[0])
    assert separated["stems"]["bell"] == str(batch.out / "a" / "bell.wav")
    assert {"presence", "present", "engine", "timings_s"} <= set(separated)
    assert failed["status"] == "failed"
    assert failed["error"].startswith(f"{batch.inputs[1]}: got ")
    assert silent == {
        "key": "c.wav", "input": str(batch.inputs[2]), "status": "silent", "stems": {}, "tries": 1,
    }  # fmt: skip


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
    assert batch.run() == ["separated", "failed"]
    assert seen == [1]


def test_what_is_there_is_skipped(batch, monkeypatch):
    batch.add("a.wav")
    batch.add("b.wav")
    assert batch.run("--skip-existing") == ["separated", "separated"]
    (batch.out / "b" / "drum.wav").unlink()
    assert batch.run("--skip-existing") == ["skipped", "separated"]
    assert f"[1/2] {batch.inputs[0]}  skipped" in batch.told.out
    assert batch.read()[0]["stems"] == {
        name: str(batch.out / "a" / f"{name}.wav") for name in ("bell", "drum")
    }


@pytest.mark.parametrize(
    "option",
    [
        "--format=flac",
        "--residual",
        "--threshold=0.4",
        "--categories=bell,drum",
        "--start=0.1",
        "--duration=0.2",
        "--level=off",
        "--level=3",
        "--salvage",
    ],
)
def test_what_is_there_by_other_options_is_not_skipped(batch, option):
    batch.add("a.wav")
    batch.run()
    assert batch.run("--skip-existing", option) == ["separated"]
    assert batch.run("--skip-existing", option) == ["skipped"]


def test_what_is_there_by_another_model_or_of_another_sound_is_not_skipped(batch, monkeypatch):
    batch.add("a.wav")
    batch.run()
    monkeypatch.setattr(batch.separator.bundle, "identity", "another")
    assert batch.run("--skip-existing") == ["separated"]
    batch.inputs.clear()
    batch.add("a.wav", 0.5)
    assert batch.run("--skip-existing") == ["separated"]


def test_a_fault_of_this_package_is_told_and_keeps_no_other(batch, monkeypatch):
    batch.add("a.wav")
    batch.add("b.wav")
    separate_to = batch.separator.separate_to

    def fails(path, *arguments, **options):
        if path.name == "a.wav":
            raise UnicodeEncodeError("ascii", "\udce9", 0, 1, "not in range")
        return separate_to(path, *arguments, **options)

    monkeypatch.setattr(batch.separator, "separate_to", fails)
    assert batch.run() == ["failed", "separated"]
    assert "got UnicodeEncodeError: 'ascii' codec can't encode" in batch.told.err
    assert batch.told.err.count("\n") == 1


def test_an_interrupt_stops_them_all(batch, monkeypatch):
    batch.add("a.wav")
    batch.add("b.wav")

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(batch.separator, "separate_to", interrupted)
    assert batch.run() == []
    assert batch.told.code == 130


def test_a_single_one_that_fails_is_an_error(batch):
    path = batch.add("a.wav", b"no audio")
    assert batch.run() == ["failed"]
    assert batch.told.code == 2
    assert batch.told.err.startswith(f"sgn-rt: error: {path}: got a file that does not read as")
    assert batch.told.err.count("\n") == 1


def test_a_single_one_of_silence_is_an_error_unless_stems_are_named(batch):
    batch.add("a.wav", 0.0)
    assert batch.run() == ["failed"]
    assert batch.told.code == 2
    assert "got digital silence" in batch.told.err
    assert not batch.out.exists()
    assert batch.run("--categories", "bell") == ["separated"]


def test_names_that_differ_in_their_ending(batch):
    batch.add("a.wav")
    batch.add("a.wave")
    for _ in range(2):
        batch.run()
        stems = [line["stems"]["bell"] for line in batch.read()]
        assert stems == [str(batch.out / name / "bell.wav") for name in ("a.wav", "a.wave")]


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_names_that_are_no_utf_8(batch, kind):
    path = batch.add(os.fsdecode(b"caf\xe9.wav"))
    batch.out = batch.out.with_name(os.fsdecode(b"stems of caf\xe9"))
    batch.add("b.wav")
    assert batch.run("--format", kind, "--residual") == ["separated", "separated"]
    assert "caf\\udce9.wav" in batch.told.out
    assert batch.read()[0]["input"] == str(path)


def test_a_picture_goes_with_the_stems_and_never_alone(batch, monkeypatch):
    pytest.importorskip("matplotlib")
    from sgn_rt.cli import plot

    drawn = []
    monkeypatch.setattr(plot, "draw_overview", lambda recording, *_, **__: drawn.append(recording))
    monkeypatch.setattr(plot, "as_png", lambda figure: b"picture")
    batch.add("a.wav")
    batch.run("--plot")
    assert (batch.out / "a" / "overview.png").read_bytes() == b"picture"
    batch.run("--plot", "--start", 0.125, "--duration", 0.0625)
    assert [recording.samples for recording in drawn] == [3000, 500]
    batch.run("--plot")
    assert batch.run("--plot", "--skip-existing") == ["skipped"]
    assert batch.run() == ["separated"]
    assert not (batch.out / "a" / "overview.png").exists()
    assert batch.run("--plot", "--skip-existing") == ["separated"], "the picture is missing"
    assert (batch.out / "a" / "overview.png").exists()
    batch.run("--plot", "--threshold", 1)
    assert list(batch.out.iterdir()) == []


def test_lines_on_a_full_disk_are_one_error(batch):
    batch.add("a.wav")
    result = batch.command("--jsonl", "/dev/full")
    assert result.code == 2
    assert result.err.startswith("sgn-rt: error: /dev/full: got No space left on device")


OF_NO_USE = {
    "tries": (["--tries", 5], "--tries: got 5 for files that are separated one by one"),
    "fresh": (["--fresh"], "--fresh: got it for files alone"),
    "pattern": (["--pattern", "*.wav"], "--pattern: got '*.wav' without a folder"),
}


@pytest.mark.parametrize("name", OF_NO_USE)
def test_options_that_would_do_nothing_are_refused(batch, name):
    options, words = OF_NO_USE[name]
    batch.add("a.wav")
    result = batch.command(*options)
    assert result.code == 2
    assert words in result.err
    assert not batch.out.exists()


def test_lines_on_stdout(capsys):
    with JsonLines(Path("-")) as lines:
        lines.write({"input": "caf\udce9"})
    assert capsys.readouterr().out == '{"input": "caf\\udce9"}\n'
