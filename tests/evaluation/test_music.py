"""MUSIC's protocols on small folders in its layout, cut from the music that ships."""

from __future__ import annotations

import random

import numpy as np
import pytest

from sgn_rt.errors import AudioError
from sgn_rt.evaluation.protocols import protocol_named
from sgn_rt.evaluation.protocols.base import Dropped, Item, Labels

RATE = 11_025
NO_CATEGORY = "the model has no category of a source's class"


@pytest.fixture
def clips(tmp_path, sound, write):
    """Five clips of four classes, and Sound-of-Pixels' list of them; one of them clips."""
    found = {}
    for at, kind in enumerate(("cello", "cello", "tuba", "xylophone", "erhu")):
        name = f"audio/{kind}/clip{at}.wav"
        gain = 12 if at == 2 else 2
        found[name] = write(tmp_path / "data" / name, gain * sound(at, 70_001), RATE)
    lines = "".join(f"{name},frames,100\n" for name in found)
    (tmp_path / "data" / "val.csv").write_text(lines)
    return found


def middle(clip):
    first = (len(clip) - 65_535) // 2
    return np.clip(clip[first : first + 65_535], -1, 1) / 2


def kind_of(name):
    return name.split("/")[1]


def test_pairs_are_those_of_seeded_generators(clips, erring, tmp_path):
    names = list(clips)
    items = list(protocol_named("music:sop").items(tmp_path / "data", Labels(erring.categories)))
    assert len(items) == len(names)
    for at, (first, item) in enumerate(zip(names, items, strict=True)):
        generator = random.Random(at)
        while kind_of(second := names[generator.randint(0, 4)]) == kind_of(first):
            pass
        if "erhu" in (kind_of(first), kind_of(second)):
            assert (item.name[:5], item.reason) == (f"{at:05d}", NO_CATEGORY)
            continue
        assert list(item.sources) == [kind_of(first), kind_of(second)]
        halves = np.stack([middle(clips[name]) for name in (first, second)])
        np.testing.assert_array_equal(np.concatenate(list(item.sources.values())), halves)
        np.testing.assert_array_equal(item.mixture[0], halves[0] + halves[1])
    assert sum(isinstance(item, Item) for item in items) > 1


def test_a_pair_of_one_class_is_dropped(clips, tmp_path):
    labels = Labels(["cello", "tuba", "xylophone", "violin"], {"erhu": "violin"})
    items = list(protocol_named("music:sop-any").items(tmp_path / "data", labels))
    kinds = [0, 0, 1, 2, 3]
    same = sum(kinds[at] == kinds[random.Random(at).randint(0, 4)] for at in range(5))
    assert same > 0
    reasons = [item.reason for item in items if isinstance(item, Dropped)]
    assert reasons == ["both sources are of one category"] * same


PAIRS = (
    ("audio/tuba/clip2.wav", "audio/cello/clip0.wav"),
    ("audio/xylophone/clip3.wav", "audio/tuba/clip2.wav"),
)


@pytest.fixture
def iquery(clips, tmp_path):
    text = "".join(f"{first}, {second}\n" for first, second in PAIRS)
    (tmp_path / "data" / "pairs.csv").write_text(text)
    return tmp_path / "data"


def test_figures_are_those_of_bss_eval_3(clips, iquery, erring, evaluated, figure, bss):
    found = []
    for pair in PAIRS:
        halves = np.stack([middle(clips[name]) for name in pair])
        mixture = halves.sum(axis=0)[None].astype(np.float32)
        estimates = np.stack([erring.source(kind_of(name), mixture)[0] for name in pair])
        found.append(bss(halves, np.clip(estimates, -1, 1)))
    told, items = evaluated("music:iquery", iquery)
    for at, metric in enumerate(("sdr", "sir", "sar")):
        mean = np.mean([np.mean(each[at]) for each in found])
        assert figure(told, metric) == pytest.approx(mean, abs=1e-3)
    assert [item["truth"] for item in items] == [["cello", "tuba"], ["tuba", "xylophone"]]


def test_estimates_are_clipped_and_not_permuted(clips, iquery, erring, bss):
    protocol = protocol_named("music:iquery")
    item = next(protocol.items(iquery, Labels(erring.categories)))
    tuba, cello = (item.sources[name] for name in ("tuba", "cello"))
    swapped = {"tuba": 4 * cello + tuba, "cello": 4 * tuba + cello}
    references, estimates = np.concatenate([tuba, cello]), np.concatenate([*swapped.values()])
    sdr = [score.figures["sdr"] for score in protocol.score(item, swapped)]
    assert np.abs(estimates).max() > 1.0
    assert sdr == pytest.approx(bss(references, np.clip(estimates, -1, 1))[0], abs=1e-3)
    for wrong in (bss(references, estimates), bss(references, estimates, permuted=True)):
        assert np.abs(wrong[0] - sdr).max() > 0.05


def test_a_silent_source_drops_its_pair(iquery, write):
    write(iquery / "audio" / "tuba" / "clip2.wav", np.zeros(70_000, np.float32), RATE)
    items = protocol_named("music:iquery").items(iquery, Labels(["tuba", "cello"]))
    assert next(items) == Dropped("00000 clip2+clip0", "a source is silent")


def test_a_short_clip_repeats_itself(iquery, sound, write):
    short = write(iquery / "audio" / "cello" / "clip0.wav", sound(3, 30_000), RATE)
    item = next(protocol_named("music:iquery").items(iquery, Labels(["tuba", "cello"])))
    np.testing.assert_array_equal(item.sources["cello"][0], middle(np.tile(short, 3)))


def test_a_row_that_is_no_pair(iquery):
    (iquery / "pairs.csv").write_text("audio/tuba/clip2.wav\n")
    with pytest.raises(AudioError, match="got 1 columns in row 1, expected two paths"):
        next(protocol_named("music:iquery").items(iquery, Labels([])))


def test_a_list_of_a_single_class(tmp_path, clips):
    (tmp_path / "data" / "val.csv").write_text("audio/cello/clip0.wav,f,1\n" * 2)
    with pytest.raises(AudioError, match="got no clip of another class in 1000 draws"):
        next(protocol_named("music:sop").items(tmp_path / "data", Labels(["cello"])))


def test_a_clip_that_is_missing(tmp_path, clips):
    (tmp_path / "data" / "audio" / "tuba" / "clip2.wav").unlink()
    with pytest.raises(AudioError, match=r"clip2\.wav: got no such file, expected a clip of val"):
        next(protocol_named("music:sop").items(tmp_path / "data", Labels(["cello"])))
