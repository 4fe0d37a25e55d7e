"""What is found in one pass is what naming it gives: bit for bit, whole, however late it is."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.recording import Recording
from sgn_rt.audio.run_folder import RunFolder
from sgn_rt.audio.stem_store import StemStore
from sgn_rt.streaming.output import RESIDUAL
from tests.conftest import FakeEngine

LEVELS = (0.0, 0.02, 0.09)
"""Mean magnitude of a window from which each category is heard."""


class Listening(FakeEngine):
    """Hears a category where the window is loud enough, whoever asks."""

    def _separate(self, mixture, categories):
        answer = super()._separate(mixture, categories)
        loud = np.abs(mixture).mean(axis=1)[:, None] > np.array(LEVELS)
        return answer._replace(presence=np.where(loud, 0.99, 0.01).astype(np.float32))


@pytest.fixture
def listening(fake_separator, config):
    """A separator that hears by level; options go to the engine."""

    def make(**options):
        opened = fake_separator()
        engine = Listening(config, "fake", **options)
        guarded = opened.separator._service.engine
        guarded._active = engine
        return opened.separator, engine

    return make


def rising(noise, channels, samples, steps):
    """Noise that grows by steps, so that categories are heard one after the other."""
    signal = noise(channels, samples) * np.float32(0.1)
    for start, gain in steps:
        signal[:, int(start * samples) :] *= np.float32(gain)
    return np.clip(signal, -1, 1)


SCHEDULES = {
    "all from the start": [(0.0, 20.0)],
    "one in the middle": [(0.0, 4.0), (0.5, 5.0)],
    "one at the very end": [(0.0, 4.0), (0.97, 6.0)],
    "one after the other": [(0.3, 5.0), (0.7, 5.0)],
    "none but the first": [],
}


@pytest.mark.parametrize("hold", [1, 1 << 20, 48 << 20])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(
    ("rate", "channels", "engine"),
    [
        (8000, 1, {}),
        (44100, 2, {"concurrency": 2}),
        (11025, 1, {"concurrency": 2, "batch": 3}),
    ],
)
def test_found_is_named(listening, noise, monkeypatch, rate, channels, engine, name, hold):
    monkeypatch.setattr("sgn_rt.streaming.finder.HOLD_BYTES", hold)
    separator, _ = listening(**engine)
    signal = rising(noise, channels, 3 * rate, SCHEDULES[name])
    found = separator.separate(signal, sample_rate=rate, residual=True)
    names = [name for name in found.sources if name != RESIDUAL]
    assert names, "the first is always there"
    named = separator.separate(signal, names, sample_rate=rate, residual=True)
    assert list(found.sources) == list(named.sources)
    for name, source in named.sources.items():
        np.testing.assert_array_equal(found.sources[name], source, name)


def test_the_schedules_do_what_they_say(listening, noise):
    separator, _ = listening()
    counts = {}
    for name, steps in SCHEDULES.items():
        signal = rising(noise, 1, 24_000, steps)
        counts[name] = len(separator.separate(signal, sample_rate=8000).sources)
    assert counts["all from the start"] == 3
    assert counts["one in the middle"] == 3
    assert counts["one at the very end"] == 3
    assert counts["none but the first"] == 1


def test_the_network_runs_once_for_each_window(listening, noise):
    separator, engine = listening()
    signal = rising(noise, 1, 24_000, SCHEDULES["one in the middle"])
    found = separator.separate(signal, sample_rate=8000)
    windows = sum(found.windows.values())
    assert engine.calls == windows


def test_what_is_found_late_takes_the_network_for_what_is_past_alone(listening, noise, monkeypatch):
    monkeypatch.setattr("sgn_rt.streaming.finder.HOLD_BYTES", 1)  # nothing is held
    separator, engine = listening()
    signal = rising(noise, 1, 24_000, SCHEDULES["one in the middle"])
    found = separator.separate(signal, sample_rate=8000)
    assert found.windows == {"fake": engine.calls}, "also those of what was found late"
    windows = sum(separator.separate(signal, ["bell"], sample_rate=8000).windows.values())
    again = found.windows["fake"] - windows
    assert 0.4 * windows < again < 0.75 * windows


@pytest.mark.parametrize("format_", ["wav", "flac"])
@pytest.mark.parametrize("residual", [False, True])
def test_files_of_what_is_found_late(listening, noise, monkeypatch, tmp_path, format_, residual):
    """Files equal those of naming, sample for sample, also where they were put together."""
    monkeypatch.setattr("sgn_rt.streaming.finder.HOLD_BYTES", 1)
    monkeypatch.setattr("sgn_rt.audio.stem_store.BLOCK", 1000)
    separator, _ = listening()
    signal = rising(noise, 2, 24_000, SCHEDULES["one in the middle"])
    soundfile.write(tmp_path / "mix.wav", signal.T, 8000, subtype="FLOAT")
    options = {"format": format_, "residual": residual}
    found = separator.separate_to(tmp_path / "mix.wav", tmp_path / "found", **options)
    names = [name for name in found.stems if name != RESIDUAL]
    assert len(names) == 3
    named = separator.separate_to(tmp_path / "mix.wav", tmp_path / "named", names, **options)
    assert found.stems.keys() == named.stems.keys()
    for name, path in named.stems.items():
        samples, expected = (
            soundfile.read(p, dtype="int32" if format_ == "flac" else "float32")[0]
            for p in (found.stems[name], path)
        )
        np.testing.assert_array_equal(samples, expected, name)
    left = {path.name for path in (tmp_path / "found" / "mix").iterdir()}
    assert left == {path.name for path in found.stems.values()} | {"sgn-rt.json"}


def test_the_residual_of_a_reader_whose_blocks_are_uneven(fake_separator, noise, tmp_path):
    """Readers give blocks of at most what is asked for; packets of some formats are shorter."""
    separator = fake_separator().separator
    signal = noise(1, 9000)
    soundfile.write(tmp_path / "mix.wav", signal[0], 8000, subtype="FLOAT")
    claimed = RunFolder.claim(tmp_path / "out", tmp_path / "mix.wav")
    store = StemStore(
        claimed, ["bell", RESIDUAL], format="wav", sample_rate=8000, channels=1, frames=9000
    )
    uneven = [signal[:, :700], signal[:, 700:7000], signal[:, 7000:]]
    recording = Recording("mix", 8000, 1, 9000, lambda size: iter(uneven))
    with claimed, closing(store):
        store.begin(None)
        store.write("bell", 0, signal / 2)
        store.add_residual(RESIDUAL, ["bell"], recording)
        rest, _ = soundfile.read(store.finish()[RESIDUAL], dtype="float32")
    np.testing.assert_array_equal(rest, signal[0] - signal[0] / 2)
    assert separator.separate_to(tmp_path / "mix.wav", tmp_path / "out", residual=True).stems


def test_what_turns_out_absent_leaves_nothing(fake_separator, noise, tmp_path):
    """A candidate that the rule does not confirm: its track is dropped, its file removed."""

    def brief(call, answer):
        presence = np.zeros_like(answer.presence)
        presence[:, 0] = 0.99
        presence[:, 2] = 0.8 if call == 1 else 0.0
        return answer._replace(presence=presence)

    separator = fake_separator(fault=brief).separator
    soundfile.write(tmp_path / "mix.wav", noise(1, 30_000)[0], 8000, subtype="FLOAT")
    stems = separator.separate_to(tmp_path / "mix.wav", tmp_path / "out").stems
    assert list(stems) == ["bell"]
    left = {path.name for path in (tmp_path / "out" / "mix").iterdir()}
    assert left == {"bell.wav", "sgn-rt.json"}


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("hold", [1, 48 << 20])
def test_what_was_given_up_and_comes_again_is_whole(
    fake_separator, noise, monkeypatch, tmp_path, hold, concurrency
):
    """A doubtful start, silence in which its track is dropped, and a part that is clear."""
    monkeypatch.setattr("sgn_rt.streaming.finder.HOLD_BYTES", hold)
    given_up = []
    drop = StemStore.drop
    monkeypatch.setattr(
        StemStore, "drop", lambda store, name: given_up.append(name) or drop(store, name)
    )

    class Twice(FakeEngine):
        """Hears a horn in window 1 a little, and from window 30 on clearly."""

        def _separate(self, mixture, categories):
            answer = super()._separate(mixture, categories)
            presence = np.full_like(answer.presence, 0.01)
            presence[:, 0] = 0.99
            window = self.position(mixture)
            presence[:, 2] = np.where(window >= 30, 0.99, np.where(window == 1, 0.7, 0.01))
            return answer._replace(presence=presence)

        def position(self, mixture):
            """Which window it is, from a ramp that lies under the noise."""
            return np.rint(mixture.mean(axis=1) * 1e4 / self.slope)

    samples = 40_000
    opened = fake_separator()
    layout = opened.separator.stream(sample_rate=8000)._settings.layout
    signal = noise(1, samples) * np.float32(1e-6)
    signal[0] += 1e-4 * (np.arange(samples) / layout.step).astype(np.float32)
    engine = Twice(opened.engine.config, "fake", concurrency=concurrency)
    engine.slope = 1.0
    opened.separator._service.engine._active = engine
    path = tmp_path / "mix.wav"
    soundfile.write(path, signal.T, 8000, subtype="FLOAT")
    found = opened.separator.separate_to(path, tmp_path / "found", level="off")
    assert list(found.stems) == ["bell", "horn"]
    assert "horn" in given_up
    named = opened.separator.separate_to(path, tmp_path / "named", list(found.stems), level="off")
    for name, stem in named.stems.items():
        ours, theirs = (soundfile.read(p, dtype="float32")[0] for p in (found.stems[name], stem))
        np.testing.assert_array_equal(ours, theirs, name)


def test_the_progress_of_a_late_find_never_goes_back(listening, noise, monkeypatch):
    monkeypatch.setattr("sgn_rt.streaming.finder.HOLD_BYTES", 1)
    separator, _ = listening()
    told: list[float] = []
    signal = rising(noise, 1, 24_000, SCHEDULES["one in the middle"])
    separator.separate(signal, sample_rate=8000, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
