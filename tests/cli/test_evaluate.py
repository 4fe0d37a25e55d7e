"""``sgn-rt evaluate``."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf

from sgn_rt.audio.labelled_music import shipped_music
from sgn_rt.cli import evaluate as cli
from sgn_rt.evaluation.protocols import folder
from sgn_rt.streaming.presence import PresenceRule

RATE = 11_025
KINDS = ("piano", "tuba")


@dataclass
class Leaking:
    """In the place of a separator: of each category its stem, with some of the mixture."""

    config: object
    engine: object
    leak: float
    stems: dict

    @property
    def categories(self):
        return self.config.categories

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def separate(self, mixture, categories, *, sample_rate):
        stems = self.stems[mixture.tobytes()]
        sources = {n: (1 - self.leak) * stems[n][None] + self.leak * mixture for n in categories}
        presence = {n: 0.9 if n in stems else 0.1 for n in self.categories}
        return SimpleNamespace(sources=sources, presence=presence)


@pytest.fixture
def data(tmp_path):
    """Seven cuts of a duet that ships, a second each, and one of which nothing is known."""
    stems = {k: sf.read(shipped_music() / f"003.{k}.flac", dtype="float32")[0] for k in KINDS}
    known = {}
    for item in range(7):
        cut = slice(40_000 * item, 40_000 * item + RATE)
        noise = np.random.default_rng(item).normal(0, 1e-3, (2, RATE)).astype(np.float32)
        parts = {kind: stems[kind][cut] + noise[at] for at, kind in enumerate(KINDS)}
        mixture = sum(parts.values())
        known[mixture[None].tobytes()] = parts
        for name, signal in {"mix": mixture, **parts}.items():
            path = tmp_path / "data" / f"{item}.{name}.wav"
            path.parent.mkdir(exist_ok=True)
            sf.write(path, signal, RATE, subtype="FLOAT")
    for name in ("mix", "thunder"):
        sf.write(tmp_path / "data" / f"strange.{name}.wav", mixture, RATE, subtype="FLOAT")
    return tmp_path / "data", known


@pytest.fixture
def engines(monkeypatch, data):
    """Engines that leak more or less, by name; the parity that each is opened with."""
    opened = []

    def open_(bundle, name, parity, *, threads):
        opened.append((name, parity))
        engine = SimpleNamespace(name=name, detail=f"{name} of a test")
        leak = {"auto": 0.1, "good": 0.1, "same": 0.1, "bad": 0.15}[name]
        return Leaking(bundle.config, engine, leak, data[1])

    monkeypatch.setattr(cli, "Separator", SimpleNamespace(open=open_))
    # What it says is tested where it is called; here it would only take time.
    monkeypatch.setattr(folder, "bss_eval_v3", lambda references, estimates: {})
    return opened


def evaluated(run, data, out, *more):
    return run("evaluate", data[0], "--protocol", "folder", "-o", out, *more)


def test_two_engines_and_whether_they_differ(run, data, engines, tmp_path):
    out = tmp_path / "out"
    done = evaluated(run, data, out, "--engine", "good", "--engine", "bad", "--engine", "same")
    assert done.code == 0, done.err
    assert engines == [(name, "raise") for name in ("good", "bad", "same")]
    assert "dropped: 1 x the model has no category of its stems" in done.out
    assert "good less bad: si_sdr" in done.out
    told = json.loads((out / "evaluation.json").read_text())
    assert told["protocol"]["name"] == "folder"
    assert told["engines"]["good"] == "good of a test"
    gaps = {(d["system"], d["than"]): d for d in told["differences"]}
    assert gaps["good", "bad"]["real"]
    assert gaps["good", "bad"]["mean"] > 1.0
    assert not gaps["good", "same"]["real"]
    # 0.1 of the other stem is in the estimate of each.
    assert told["leaks"]["good"]["tuba"]["piano"] == pytest.approx(0.01, rel=0.02)
    rows = list(csv.DictReader((out / "items.csv").read_text().splitlines()))
    assert len(rows) == 7 * 2 * 5 + 1
    assert rows[-1]["dropped"] == "the model has no category of its stems"
    mean = np.mean([float(r["si_sdr"]) for r in rows if r["system"] == "good"])
    (figure,) = (
        f for f in told["figures"]
        if (f["system"], f["group"], f["metric"]) == ("good", "all", "si_sdr")
    )  # fmt: skip
    assert figure["value"] == pytest.approx(mean)
    low, high = figure["interval"]
    assert low < mean < high


def test_it_goes_on_and_says_so(run, data, engines, tmp_path):
    out = tmp_path / "out"
    assert evaluated(run, data, out, "--limit", "2").code == 0
    first = json.loads((out / "evaluation.json").read_text())
    done = evaluated(run, data, out)
    assert "2 items are known from an earlier run" in done.err
    assert (first["items"], json.loads((out / "evaluation.json").read_text())["items"]) == (2, 7)
    other = evaluated(run, data, out, "--engine", "bad")
    assert other.code == 2
    assert "results of another run (engines {'auto': 'auto'}, not {'bad': 'bad'})" in other.err
    assert evaluated(run, data, out, "--engine", "bad", "--fresh").code == 0


def test_thresholds_are_those_that_separate_takes(run, data, engines, tmp_path):
    # Half of the items without the piano, so that there is something to tell apart.
    for item in range(3):
        (data[0] / f"{item}.piano.wav").unlink()
    for parts in list(data[1].values())[:3]:
        parts.pop("piano")
    assert evaluated(run, data, tmp_path / "out").code == 0
    found = json.loads((tmp_path / "out" / "thresholds.json").read_text())
    assert found == {"piano": pytest.approx(0.5)}
    from sgn_rt.model.bundle import Bundle

    assert PresenceRule.of(Bundle.open(None).config, found).thresholds[5] == pytest.approx(0.5)


def test_labels_of_other_names(run, data, engines, tmp_path):
    (tmp_path / "labels.json").write_text('{"thunder": "violin"}')
    for parts in list(data[1].values())[6:]:
        parts["violin"] = parts["tuba"]
    done = evaluated(run, data, tmp_path / "out", "--labels", tmp_path / "labels.json")
    assert done.code == 0, done.err
    assert "dropped" not in done.out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"thunder": "thunderstorm"}', "got thunderstorm, expected categories of the model"),
        ("[1]", "got no object of texts, expected a JSON object"),
        ("{", "expected a JSON object: label of the data"),
    ],
)
def test_labels_that_are_none(run, data, engines, tmp_path, text, told):
    (tmp_path / "labels.json").write_text(text)
    done = evaluated(run, data, tmp_path / "out", "--labels", tmp_path / "labels.json")
    assert done.code == 2
    assert told in done.err
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_asked_for(run, data, engines, tmp_path):
    twice = evaluated(run, data, tmp_path / "out", "--engine", "good", "--engine", "good")
    assert "--engine: got good, good, expected each once" in twice.err
    many = run("evaluate", "a", "b", "c", "--protocol", "folder", "-o", tmp_path / "out")
    assert "got 3 paths, expected a bundle and a folder of data" in many.err
    missing = run("evaluate", tmp_path / "no", "--protocol", "folder", "-o", tmp_path / "out")
    assert "no: got no folder, expected NAME.mix.flac" in missing.err
    assert {twice.code, many.code, missing.code} == {2}


def test_every_protocol_tells_what_it_does(run):
    told = run("evaluate", "--protocols")
    assert told.code == 0
    for name in ("folder", "music:sop", "fuss:dcase2020", "musdb:museval-v4-median"):
        assert f"{name}\n    " in told.out
