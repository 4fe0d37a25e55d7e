"""Mixtures of 1 to N solos."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sgn_rt.errors import AudioError
from sgn_rt.evaluation.protocols import protocol_named
from sgn_rt.evaluation.protocols import sources as module
from sgn_rt.evaluation.protocols.base import Item, Labels

KINDS = ("cello", "tuba", "violin", "thunder")


@pytest.fixture
def solos(tmp_path, sound, write):
    for at, kind in enumerate(KINDS):
        for number in range(2):
            write(tmp_path / "data" / kind / f"{number}.wav", sound(3 * at + number, 9000), 16_000)
    return tmp_path / "data"


def test_each_mixture_has_one_source_more(solos, erring, monkeypatch):
    monkeypatch.setattr(module, "ROUNDS", 4)
    items = list(protocol_named("sources").items(solos, Labels(erring.categories)))
    assert items[0].reason == "the model has no category of a folder of solos"
    mixtures = [item for item in items if isinstance(item, Item)]
    assert [len(item.sources) for item in mixtures] == [1, 2, 3] * 4
    for one, more in itertools.pairwise(mixtures):
        if len(more.sources) > 1:
            assert list(more.sources)[:-1] == list(one.sources)
            np.testing.assert_array_equal(*(i.sources[next(iter(i.sources))] for i in (one, more)))
        levels = [np.sqrt(np.mean(signal**2)) for signal in more.sources.values()]
        assert levels == pytest.approx([levels[0]] * len(levels), rel=1e-4)
        np.testing.assert_allclose(more.mixture, sum(more.sources.values()), atol=1e-6)
        assert np.abs(more.mixture).max() <= 1.0 + 1e-6
    assert len({item.name for item in mixtures}) == 12
    again = list(protocol_named("sources").items(solos, Labels(erring.categories)))
    np.testing.assert_array_equal(again[5].mixture, items[5].mixture)


def test_figures_by_number_of_sources(solos, erring, evaluated, figure, ratio, monkeypatch):
    monkeypatch.setattr(module, "ROUNDS", 2)
    told, items = evaluated("sources", solos)
    made = list(protocol_named("sources").items(solos, Labels(erring.categories)))
    gained = []
    for item in made:
        if isinstance(item, Item) and len(item.sources) == 3:
            estimates = {name: erring.source(name, item.mixture)[0] for name in item.sources}
            gained.append(np.mean([
                ratio(signal[0], estimates[name]) - ratio(signal[0], item.mixture[0])
                for name, signal in item.sources.items()
            ]))  # fmt: skip
    found = figure(told, "si_sdr_improvement", group="3 sources")
    assert found == pytest.approx(np.mean(gained), abs=1e-3)
    assert {f["group"] for f in told["figures"]} == {"all", "1 source", "2 sources", "3 sources"}
    assert items[1]["truth"] == sorted(next(i for i in made if isinstance(i, Item)).sources)


def test_no_category_is_known(solos, evaluated, tmp_path):
    for kind in KINDS[:3]:
        (solos / kind).rename(solos / f"{kind} of the deep")
    with pytest.raises(AudioError, match="4 x the model has no category of a folder of solos"):
        evaluated("sources", solos)
