"""MUSDB18 on a small folder in its layout (HQ), against ``museval`` called as its users call it."""

from __future__ import annotations

import os
import shutil
import warnings

import numpy as np
import pytest
import soundfile as sf

from sgn_rt.errors import AudioError
from sgn_rt.evaluation.protocols import musdb18, protocol_named
from sgn_rt.evaluation.protocols.base import Labels

SYSTEM, RATE = "erring", 44_100
STEMS = ("drums", "bass", "other", "vocals")
NAMES = ("musdb:museval-v4-median", "musdb:museval-v4-mean")
VOCALS = "musdb:museval-v4-vocals"


@pytest.fixture
def museval():
    if shutil.which("ffmpeg") is None and "SGN_RT_REQUIRE_FFMPEG" not in os.environ:
        pytest.skip("no ffmpeg, which musdb wants")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("museval")


@pytest.fixture
def tracks(tmp_path, sound, write, museval):
    """As many tracks in the layout of MUSDB18-HQ; in the first second the bass is silent."""

    def make(count, seconds):
        root = tmp_path / "data"
        for item in range(count):
            stems = {n: sound(10 * item + at, seconds * RATE, 2) for at, n in enumerate(STEMS)}
            stems["bass"][:RATE] = 0.0
            place = root / "test" / f"track {item}"
            write(place / "mixture.wav", sum(stems.values()), RATE)
            for name, stem in stems.items():
                write(place / f"{name}.wav", stem, RATE)
        (root / "train").mkdir()
        return root

    return make


def test_figures_of_a_track_are_those_of_museval(erring, evaluated, figure, tracks, museval):
    # Two of the stems: systems of equations of half the size.
    root, said = tracks(1, 5), {"drums": "piano", "bass": "tuba"}
    from musdb import DB

    (track,) = DB(root=str(root), is_wav=True, subsets="test").tracks
    mixture = np.asarray(track.audio.T, np.float32)
    estimates = {kind: erring.source(name, mixture).T for kind, name in said.items()}
    scores = museval.eval_mus_track(track, estimates)
    frames = scores.df.pivot_table("score", ["target", "time"], "metric")
    assert len(frames.loc["bass"]) == 4  # the first has no figure
    told, _ = evaluated(NAMES[0], root, said)
    for kind, category in said.items():
        for metric in ("SDR", "SIR", "ISR", "SAR"):
            expected = frames.loc[kind][metric].median()
            found = figure(told, metric.lower(), group=category)
            assert found == pytest.approx(expected, abs=1e-3)
        assert abs(frames.loc[kind]["SDR"].mean() - frames.loc[kind]["SDR"].median()) > 1e-2


@pytest.mark.parametrize(("name", "tracks_agg"), [(NAMES[0], "median"), (NAMES[1], "mean")])
def test_tracks_are_pooled_as_museval_pools_them(
    erring, evaluated, figure, tracks, museval, monkeypatch, name, tracks_agg
):
    generator, said = np.random.default_rng(0), {"drums": "piano", "bass": "tuba"}
    calls = []

    def measured(references, estimates, rate):
        # As museval's: (sources, frames), NaN where a frame has a silent source.
        found = {key: generator.standard_normal((2, 6)) for key in ("sdr", "isr", "sir", "sar")}
        for values in found.values():
            values[:, 0] = np.nan
        calls.append(found)
        return found

    monkeypatch.setattr(musdb18, "museval_v4", measured)
    root = tracks(3, 1)
    told, _ = evaluated(name, root, said)
    store = museval.EvalStore(frames_agg="median", tracks_agg=tracks_agg)
    for at, found in enumerate(calls[::3]):  # the system's, without its bounds
        of_track = museval.TrackStore(track_name=f"track {at}")
        for row, kind in enumerate(said):
            values = {key.upper(): found[key][row].tolist() for key in found}
            of_track.add_target(target_name=kind, values=values)
        store.add_track(of_track.df)
    pooled = store.agg_frames_tracks_scores()
    for kind, category in said.items():
        for metric in ("SDR", "SIR", "ISR", "SAR"):
            expected = pooled[kind, metric]
            assert figure(told, metric.lower(), group=category) == pytest.approx(expected, abs=2e-5)


def test_accompaniment_is_the_mixture_less_the_vocals(erring, tracks, monkeypatch):
    root, protocol = tracks(1, 1), protocol_named(VOCALS)
    labels = Labels(erring.categories, {"vocals": "flute", "bass": "tuba"})
    (item,) = protocol.items(root, labels)
    assert protocol.wanted(item, erring.categories) == ["flute"]
    vocals = erring.source("flute", item.mixture)
    estimates = protocol.estimates(item, {"flute": vocals}, {})
    handed = []

    def measured(references, estimates, rate):
        handed.extend((references, estimates, rate))
        return {"sdr": np.array([[1.0, np.nan, 3.0, 8.0], [5.0, np.nan, 5.0, 5.0]])}

    monkeypatch.setattr(musdb18, "museval_v4", measured)
    scores = protocol.score(item, estimates)
    assert [(s.source, s.group, s.figures) for s in scores] == [
        ("vocals", "flute", {"sdr": 3.0}), ("accompaniment", "accompaniment", {"sdr": 5.0}),
    ]  # fmt: skip
    stems = [sf.read(root / "test/track 0" / f"{n}.wav", dtype="float32")[0].T for n in STEMS]
    rounding = 4 * 2.0**-16  # musdb reads by ffmpeg, at 16 bits
    true = np.stack([stems[3], sum(stems[:3])])
    np.testing.assert_allclose(handed[0], true, rtol=0, atol=rounding)
    np.testing.assert_array_equal(handed[1], np.stack([vocals, item.mixture - vocals]))
    assert handed[2] == RATE


def test_the_ideal_mask_is_of_all_stems(erring, tracks):
    root, labels = tracks(1, 1), Labels(erring.categories, {"drums": "piano", "bass": "tuba"})
    (item,) = protocol_named(NAMES[0]).items(root, labels)
    assert list(item.sources) == list(STEMS)
    assert item.counted == ("drums", "bass")


def test_a_model_without_two_of_the_categories(evaluated, tracks):
    with pytest.raises(AudioError, match=r"got no item that counts .* 2 x the model has not two"):
        evaluated(NAMES[0], tracks(2, 1), {"drums": "piano"})


@pytest.mark.parametrize("name", [*NAMES, VOCALS])
def test_a_folder_of_another_layout(evaluated, tmp_path, museval, name):
    (tmp_path / "data").mkdir()
    with pytest.raises(AudioError, match=r"data: got no track, expected test/NAME\.stem\.mp4"):
        evaluated(name, tmp_path / "data")
