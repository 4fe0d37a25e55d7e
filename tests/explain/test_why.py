"""Sentences say what the figures say."""

from dataclasses import replace

import numpy as np
import pytest

from sgn_rt.explain.occlusion import Occlusion
from sgn_rt.explain.why import as_text, strongest_parts, why


def fallen(**places: float) -> Occlusion:
    fall = np.zeros((8, 8), np.float32)
    for place, value in places.items():
        fall[int(place[1]), int(place[2])] = value
    return Occlusion(category=2, window=0, presence=0.9, fall=fall)


def test_the_strongest_parts_come_first_and_small_ones_not_at_all():
    found = strongest_parts(fallen(p12=0.2, p33=0.5, p44=0.04, p55=0.3, p66=0.1))
    assert found == [(3, 3), (5, 5), (1, 2)]
    assert strongest_parts(fallen(p00=0.049, p11=-0.8)) == []


def test_presence_is_told_with_its_window(explanation):
    explained = explanation()
    hearing = explained.hearing
    own = hearing.presence[hearing.windows.own, 0]
    told = " ".join(why(explained)["bell"])
    assert told.startswith(f"Heard: presence is highest, {own.max():.2f}, in the window of 0.")
    assert f"threshold (0.5) in {int((own >= 0.5).sum())} of the {len(own)} windows" in told
    assert "Over time that counts as present." in told
    assert "labels" not in told
    assert "Over time that does not count as present." in why(explained)["horn"][0]


@pytest.mark.parametrize(
    ("labels", "bell", "horn"),
    [
        ({"bell", "horn"}, "right: it sounds.", "wrong: it sounds, and is missed."),
        ({"drum"}, "wrong: it does not sound.", "right: it does not sound."),
    ],
)
def test_labels_are_judged_by(explanation, labels, bell, horn):
    explained = explanation(labels=frozenset(labels), thresholds=np.array([0.5, 0.5, 0.99], "f4"))
    told = why(explained)
    assert f"By the labels that is {bell}" in told["bell"]
    assert f"By the labels that is {horn}" in told["horn"]


def test_what_a_mask_takes_is_told_by_stem(explanation, signal, config):
    time = np.arange(len(signal)) / config.sample_rate
    low = (0.3 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)
    stems = {"bell": low, "horn": signal - low}
    explained = explanation(labels=frozenset(stems), stems=stems)
    (bell, _), (_, horn) = explained.taken
    assert 0.95 < bell < 1
    assert 0.8 < horn < 1
    parts = f"{bell:.0%} bell, {1 - bell:.0%} horn"
    told = why(explained)
    assert f"What its mask lets through is, of the true stems, {parts}." in told["bell"]
    assert any(f"stems, {horn:.0%} horn, " in line for line in told["horn"])


def test_claims_are_told_in_seconds_and_hertz(explanation, config):
    told = why(explanation())["bell"]
    share = next(line for line in told if line.startswith("Its token claims"))
    claims = explanation().hearing.joined_claims[0]
    assert share == f"Its token claims {claims.mean():.0%} of all feature tokens."
    where = told[told.index(share) + 1]
    assert where.startswith("Half of what it claims lies in 0.0 to ")
    # Of four rows of tokens it claims the lower two, half of the log axis.
    middle = explanation().hearing.row_hz[64]
    assert where.endswith(f"between 0 and {middle:.0f} Hz.")


def test_who_gathers_nothing_is_said_to(explanation):
    explained = explanation()
    hearing = explained.hearing
    nothing = replace(hearing, assignment=hearing.assignment * np.float32(1e-6))
    told = why(replace(explained, hearing=nothing))["bell"]
    assert any("next to nothing" in line for line in told)
    assert not any("Half of what" in line for line in told)


def test_parts_are_told_with_their_place(explanation):
    explained = explanation(occlusions=(fallen(p73=0.5),))
    told = why(explained)["horn"]
    hz = explained.hearing.row_hz
    step = explained.hearing.config.window_s / 8
    assert (
        f"It rests most on these parts of the window of 0.0 to 0.3 s: without {hz[112]:.0f} to "
        f"{hz[127]:.0f} Hz at {3 * step:.1f} to {4 * step:.1f} s it falls from 0.90 to 0.40."
    ) in told
    quiet = why(explanation(occlusions=(fallen(),)))["horn"]
    assert any(line.startswith("No single part carries it") for line in quiet)


def test_the_most_alike_is_named(explanation):
    explained = explanation()
    row = explained.similarity[0].copy()
    row[0] = -1
    name = explained.hearing.config.categories[int(row.argmax())]
    assert (
        f"Its embedding is most like that of {name} (cosine {row.max():.2f})."
        in why(explained)["bell"]
    )


def test_one_category_shown(explanation):
    told = as_text(explanation(shown=[1]))
    assert "count from" not in told
    assert "Seconds count from 7.5 s of the file." in as_text(explanation(start_s=7.5))
    assert "## drum" in told
    assert "any other category shown" not in told
