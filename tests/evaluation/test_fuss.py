"""FUSS on a small folder in its layout, against SI-SNR of another package."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt.errors import AudioError, ConfigError
from sgn_rt.evaluation.protocols import protocol_named
from sgn_rt.evaluation.protocols.base import Item, Labels
from sgn_rt.evaluation.protocols.fuss import si_snr

SYSTEM, RATE, NAME = "erring", 16_000, "fuss:dcase2020"
KINDS = ("background0", "foreground0", "foreground1", "foreground2")


@pytest.fixture
def examples(tmp_path, sound, write):
    """Examples of 1, 2 and 4 sources with an offset, and the list of them."""
    root, found, lines = tmp_path / "data", [], []
    for item, count in enumerate((1, 2, 4)):
        place = f"ssdata/eval/example{item:05d}"
        names = [f"{place}_sources/{kind}_sound.wav" for kind in KINDS[:count]]
        sources = [
            write(root / name, sound(7 * item + at, 8000) + np.float32(0.02 * at), RATE)
            for at, name in enumerate(names)
        ]
        write(root / f"{place}.wav", np.zeros(8000, np.float32), RATE)  # is not used
        lines.append("\t".join([f"{place}.wav", *names]))
        found.append(sources)
    (root / "eval_example_list.txt").write_text("\n".join(lines) + "\n")
    return found


def matched(sources, estimates, ratio):
    """SI-SNR of the sources by the permutation of the best total; silent references have no say."""
    table = [[ratio(source, estimate) for estimate in estimates] for source in sources]
    orders = itertools.permutations(range(4), len(sources))
    return max(([row[at] for row, at in zip(table, o, strict=True)] for o in orders), key=sum)


def test_figures_are_those_of_the_best_permutation(
    examples, erring, evaluated, figure, ratio, tmp_path
):
    single, gained, unpermuted = [], [], []
    for sources in examples:
        mixture = np.sum(sources, axis=0, dtype=np.float32)
        chances = erring.separate(mixture[None], [], sample_rate=RATE).presence
        most = sorted(chances, key=lambda name: -chances[name])[:4]
        estimates = [erring.source(name, mixture[None])[0] for name in most]
        found = matched(sources, estimates, ratio)
        if len(sources) == 1:
            single += found
            continue
        before = [ratio(source, mixture) for source in sources]
        gained += list(np.subtract(found, before))
        unpermuted += list(np.subtract([ratio(*pair) for pair in zip(sources, estimates)], before))  # noqa: B905
    told, items = evaluated(NAME, tmp_path / "data")
    assert figure(told, "si_snr_improvement") == pytest.approx(np.mean(gained), abs=5e-3)
    assert abs(np.mean(unpermuted) - np.mean(gained)) > 0.05
    assert figure(told, "si_snr", group="1 source") == pytest.approx(np.mean(single), abs=5e-3)
    key = {"metric": "si_snr_improvement", "key": "deviation"}
    assert figure(told, **key) == pytest.approx(np.std(gained), abs=5e-3)
    assert all("truth" not in item for item in items)  # there are no labels
    assert told["counts"] == {SYSTEM: {"separation": {"equal": 1, "over": 2}}}


def test_a_model_that_does_not_say_what_is_present(examples, evaluated, erring, tmp_path):
    erring.config = SimpleNamespace(categories=("cello",), has_presence=False)
    with pytest.raises(ConfigError, match="fuss:dcase2020: got a model that does not say what is"):
        evaluated(NAME, tmp_path / "data")


def test_the_four_most_present_are_the_estimates(erring):
    item = Item(name="a", sample_rate=RATE, mixture=np.ones((1, 9), np.float32), sources={})
    presence = {"a": 0.1, "b": 0.9, "c": 0.5, "d": 0.3, "e": 0.4}
    found = protocol_named(NAME).estimates(item, dict.fromkeys(presence, item.mixture), presence)
    assert list(found) == ["b", "c", "e", "d"]


def test_the_mean_is_not_removed(sound, ratio):
    one, two = (sound(at, 4000).astype(np.float64) + 0.1 for at in range(2))
    assert si_snr(one, two) == pytest.approx(ratio(one, two), abs=1e-4)
    assert abs(ratio(one, two, zero_mean=True) - ratio(one, two)) > 1.0


def test_silence_does_not_decide_which_estimate_goes_where(sound):
    """A reference that pads an example is as far from each estimate, loud or quiet."""
    one, quiet = sound(0, 4000).astype(np.float64), 1e-3 * sound(1, 4000).astype(np.float64)
    zeros = np.zeros(4000)
    for pair in ((zeros, one), (zeros, quiet), (one, zeros), (zeros, zeros)):
        assert si_snr(*pair) == pytest.approx(-80.0)
    assert si_snr(one, one) == pytest.approx(80.0, abs=1e-3)


def item_of(*sources):
    named = {f"s{at}": np.asarray(s, np.float32)[None] for at, s in enumerate(sources)}
    mixture = np.sum(list(named.values()), axis=0)
    return Item(name="a", sample_rate=RATE, mixture=mixture, sources=named)


def test_a_quiet_estimate_does_not_count_and_is_under_separation(sound):
    one, two = sound(0, 4000), sound(1, 4000)
    protocol, item = protocol_named(NAME), item_of(one, two)
    quietest = np.sqrt(min(np.mean(one**2), np.mean(two**2)))
    noise = np.random.default_rng(0).standard_normal(4000)
    for share, count in ((0.09, 1), (0.11, 2)):  # of amplitude: 0.01 of power is between
        weak = share * quietest * noise / np.sqrt(np.mean(noise**2))
        estimates = {"x": one[None], "y": weak[None].astype(np.float32)}
        assert len(protocol.score(item, estimates)) == count
        separation = "under" if count == 1 else "equal"
        assert protocol.notes(item, estimates) == {"separation": separation}


def test_a_silent_source_does_not_count(sound):
    one = sound(0, 4000)
    found = protocol_named(NAME).score(item_of(one, 0 * one), {"x": one[None], "y": one[None]})
    assert [(score.source, score.group) for score in found] == [("s0", "1 source")]


def test_a_row_without_sources(tmp_path):
    (tmp_path / "eval_example_list.txt").write_text("eval/example00000.wav\n")
    with pytest.raises(AudioError, match="got 1 columns in row 1, expected a mixture and one to 4"):
        next(protocol_named(NAME).items(tmp_path, Labels([])))
