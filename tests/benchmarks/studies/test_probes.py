"""The search for telling windows: what it cuts, what it measures, and what it chooses."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sgn_rt.audio.labelled_music import Piece  # noqa: E402
from sgn_rt.benchmarks.studies.probe_windows import windows_of  # noqa: E402
from sgn_rt.benchmarks.studies.probes import (  # noqa: E402
    Search,
    best,
    choice,
    lost,
    page_table,
)
from sgn_rt.export.probes import make_probe  # noqa: E402
from sgn_rt.model.contract import Precision  # noqa: E402
from sgn_rt.model.stages import Stage, limit_for  # noqa: E402
from sgn_rt.parity.measure import measure  # noqa: E402
from sgn_rt.reference import random_model  # noqa: E402


def piece(name, samples, *stems):
    rng = np.random.default_rng(len(name))
    made = {stem: rng.standard_normal(samples).astype(np.float32) / 10 for stem in stems}
    return Piece(name, np.add.reduce(list(made.values())), made)


def test_windows_are_of_all_mixtures_stems_and_stems_together():
    pieces = [piece("one", 100, "bell", "horn"), piece("other", 80, "drum", "horn")]
    found = windows_of(pieces, 30, places=2)
    assert all(len(window.mixture) == 30 for window in found)
    signals = [window.name.partition(", from")[0] for window in found[::4]]
    assert signals == [
        *("one", "other", "bell of one", "horn of one", "drum of other", "horn of other"),
        *("bell of one and drum of other", "bell of one and horn of other"),
        *("horn of one and drum of other", "one and other"),  # a horn has but one place
    ]
    for window in found:
        if window.name.startswith("bell of one and drum"):
            np.testing.assert_allclose(window.mixture, sum(window.stems.values()), atol=1e-7)
    first, quiet, last = found[0], found[1], found[2]
    assert np.array_equal(first.mixture, pieces[0].mixture[:30])
    assert np.array_equal(last.stems["horn"], pieces[0].stems["horn"][70:])
    np.testing.assert_allclose(quiet.mixture, 0.1 * first.mixture, rtol=1e-6)


def test_silence_is_no_window():
    silent = Piece("silent", np.zeros(90, np.float32), {})
    assert windows_of([silent], 30) == []


def test_the_pair_that_tells_most_need_not_hold_the_best_window():
    ratios = np.array([
        [2.0, 2.0, 0.1, 0.1],
        [2.0, 0.1, 3.0, 0.1],
        [2.0, 0.1, 0.1, 9.0],
        [0.1, 2.0, 0.1, 2.0],
        [0.1, 0.1, 2.0, 2.0],
    ])  # fmt: skip
    assert best("best", ratios, 1).windows == (3,)  # by its margin, of two that tell three
    pair = best("best", ratios, 2)
    assert (pair.windows, pair.told) == ((0, 3), 5)
    assert best("best", ratios, 4).windows == (0, 3, 2, 1)
    today = choice("today's", ratios, range(2))
    assert today.told == 4
    assert today.margin < pair.margin
    windows = [piece(name, 9, "x") for name in "abcd"]
    text = page_table([today, pair, choice("all 4", ratios, range(4))], windows, len(ratios))
    assert "| best | 5 | " in text
    assert "| a; d |" in text
    assert text.endswith("dB |  |")


@pytest.fixture(scope="module")
def search(small_config):
    torch.set_num_threads(1)
    config = small_config(log_epsilon=1e-3)
    model = random_model(config, seed=3)
    pieces = [piece("one", config.window_samples + 99, "bell", "horn")]
    told = []
    made = Search(model, windows_of(pieces, config.window_samples, 2)[:3], told.append)
    made.lines = told
    return made


def test_a_fault_shows_what_parity_shows(search):
    """Whether it stands beside the convolutions, whose results are kept then, or in one."""
    config = search.suspect.model.config
    for name in ("decoder.2.conv.weight", "mask_guide.up.weight", "class_tokens"):
        fault = next(f for f in search.faults if f.where == name)
        found = search.ratios(fault)
        for window, ratio in zip(search.windows, found, strict=True):
            probe = make_probe(search.suspect.model, [window])
            with fault.made(search.suspect):
                figures = {r.stage: r.figure for r in measure(search.suspect, probe)}
            expected = max(
                figures[s] / limit_for(s, Precision.FP32, config.log_epsilon).value
                for s in (Stage.NETWORK, Stage.NETWORK_MAX, Stage.PRESENCE)
            )
            assert ratio == pytest.approx(expected, rel=0.05, abs=0.02), name
        assert np.array_equal(search.ratios(fault, [2]), found[2:])


def test_faults_within_reach_are_looked_at_on_every_window(search, monkeypatch):
    chosen = [f for f in search.faults if f.where in ("class_tokens", "grouping.query.bias")]
    monkeypatch.setattr(type(search), "faults", property(lambda self: chosen))
    near, ratios = search.table([0])
    assert ratios.shape == (len(near), 3)
    assert {f.where for f in near} >= {"grouping.query.bias"}  # the softmax hardly sees it
    assert search.lines[0] == f"{len(near)} of {len(chosen)} faults are within reach of a limit"
    rest = [f for f in chosen if f not in near]
    assert all(search.ratios(f, [0]).max() >= 4.0 for f in rest)
    assert lost(search, near, [0]) == []
