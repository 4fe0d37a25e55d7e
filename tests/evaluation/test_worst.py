"""The worst items are kept to listen to."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf

from sgn_rt.evaluation.protocols.base import Dropped, Item
from sgn_rt.evaluation.scoring import Separated
from sgn_rt.evaluation.worst import MOST, Worst, excerpts

RATE = 8000


def separated(name, value, sound):
    stems = {"cello": sound(1, 3000)[None], "tuba": sound(2, 3000)[None]}
    item = Item(name=name, sample_rate=RATE, mixture=sum(stems.values()), sources=stems)
    estimates = {"x": {"cello": stems["tuba"], "tuba": stems["cello"]}, "mixture": {}}
    scores = [{"source": s, "group": s, "figures": {"sdr": value}} for s in stems]
    return Separated(item, estimates, {}), {"name": name, "systems": {"x": scores}}


def items(names):
    return [{"name": name} for name in names]


def test_five_are_kept_the_worst_first(tmp_path, sound):
    worst = Worst(tmp_path, "x", "sdr", {})
    for at, value in enumerate((5.0, -1.0, 7.0, 3.0, 9.0, 2.0, 8.0, -4.0, np.inf)):
        worst(*separated(f"a/{at}", value, sound))
    worst(Separated(Dropped("d", "why"), {}, {}), {"name": "d", "dropped": "why"})
    found = worst.of(items(f"a/{at}" for at in range(9)))
    assert [bad.value for bad in found] == [-4.0, -1.0, 2.0, 3.0, 5.0]
    assert len(list((tmp_path / "worst").iterdir())) == MOST
    labels = [label for label, _ in found[0].sounds]
    assert labels == ["mixture", "cello, true", "tuba, true", "cello, x", "tuba, x"]
    cello, rate = sf.read(found[0].sounds[1][1])
    assert rate == RATE
    np.testing.assert_allclose(cello, sound(1, 3000), atol=2e-4)
    np.testing.assert_array_equal(sf.read(found[0].sounds[4][1])[0], cello)
    again = Worst(tmp_path, "x", "sdr", {f"a/{at}" for at in range(9)})
    assert again.of(items(f"a/{at}" for at in range(9))) == found
    assert again.of(items(["a/1"])) == [found[1]]


def test_what_the_journal_does_not_know_and_what_is_half_there_is_forgotten(tmp_path, sound):
    worst = Worst(tmp_path, "x", "sdr", {})
    for name in ("known", "new", "half"):
        worst(*separated(name, 1.0, sound))
    (half,) = worst.of(items(["half"]))
    half.sounds[2][1].unlink()
    again = Worst(tmp_path, "x", "sdr", {"known", "half"})
    assert [bad.name for bad in again.of(items(["known", "new", "half"]))] == ["known"]
    assert len(list((tmp_path / "worst").iterdir())) == 1


def test_an_excerpt_is_where_the_mixture_is_loudest_and_does_not_clip(sound):
    loud = np.zeros((1, 20 * RATE), np.float32)
    loud[0, 12 * RATE : 14 * RATE] = 1.7
    item = Item(name="a", sample_rate=RATE, mixture=loud, sources={"cello": 0.5 * loud})
    found = excerpts(item, {"cello": 0.25 * loud}, "x")
    assert {len(signal) for signal in found.values()} == {6 * RATE}
    peaks = {label: float(np.abs(signal).max()) for label, signal in found.items()}
    assert peaks == pytest.approx({"mixture": 1.0, "cello, true": 0.5, "cello, x": 0.25})
