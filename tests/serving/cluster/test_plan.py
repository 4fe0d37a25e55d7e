"""How many engines, and how much each takes."""

from __future__ import annotations

import pytest

from sgn_rt.errors import ConfigError
from sgn_rt.serving.cluster.plan import GPU_CPUS, Pool, Share


@pytest.mark.parametrize(
    ("text", "pool"),
    [("4", Pool(4, 4)), ("1-8", Pool(1, 8)), ("3-", Pool(3, None)), ("2-2", Pool(2, 2))],
)
def test_numbers_of_actors(text, pool):
    assert Pool.parse(text) == pool


@pytest.mark.parametrize("text", ["", "0", "0-3", "5-4", "-3", "1-2-3", "two", "1.5"])
def test_numbers_that_are_none(text, fails):
    with fails(ConfigError, repr(text)):
        Pool.parse(text)


def test_no_more_actors_than_there_is_work_or_room_for():
    assert Pool(4, 8).at_most(2) == Pool(2, 2)
    assert Pool(1, None).at_most(5) == Pool(1, 5)
    assert Pool(1, 3).at_most(5) == Pool(1, 3)


@pytest.mark.parametrize(
    ("engine", "cpus", "gpus_there", "share"),
    [
        ("auto", None, 0, Share(1, 0)),
        ("auto", None, 2, Share(GPU_CPUS, 1)),
        ("auto", 6, 2, Share(6, 1)),
        ("onnxruntime", None, 2, Share(1, 0)),
        ("torch", 3, 2, Share(3, 0)),
        ("tensorrt:core.fp16", None, 0, Share(GPU_CPUS, 1)),
        ("onnxruntime-cuda", None, 0, Share(GPU_CPUS, 1)),
    ],
)
def test_what_an_engine_takes(engine, cpus, gpus_there, share):
    assert Share.of(engine, cpus, gpus_there) == share


def test_room_on_a_node():
    assert Share(2, 0).resources == {"num_cpus": 2}
    assert Share(4, 1).resources == {"num_gpus": 1}
    node = {"CPU": 7.0, "GPU": 2.0}
    assert [Share(2, 0).fits(node), Share(8, 0).fits(node), Share(4, 1).fits(node)] == [3, 0, 2]
    assert Share(1, 0).fits({}) == 0
