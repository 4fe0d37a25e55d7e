"""Whatever is asked of ``POST /separate``, the answer is one that its description has."""

from __future__ import annotations

import json
import threading

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sgn_rt.serving.server.parameters import PARAMETERS

from .tools import from_audio, unzipped, wait_until

VALUES = {
    "categories": ["bell", "drum,horn", "bell,bell", "harp", "", ",", "bell,", "\u00e9", "x" * 300],
    "threshold": ["0", "1", "0.5", "-0.1", "1e400", "nan", "0x1", "\u0661", "1_0", ""],
    "residual": ["true", "False", "1", "0", "yes", ""],
    "format": ["wav", "flac", "WAV", "mp3", "../x", ""],
    "level": ["auto", "off", "3", "-120", "121", "inf", "quiet", ""],
    "start": ["0", "0.1", "0.25", "9", "-1", "1e308", "nan", "a"],
    "duration": ["0.05", "0.25", "9", "0", "1e-9", "inf", "a"],
    "stem": ["bell", "residual", "harp", "", "../bell", "bell\0"],
}
"""Of every parameter, what can be had and what cannot."""

parameters = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) | st.text(max_size=8)
                  for name, values in VALUES.items()}
)  # fmt: skip
bodies = st.sampled_from(("whole", "half", "noise", "none"))


def test_every_parameter_is_tried():
    assert set(VALUES) == set(PARAMETERS)


@pytest.fixture
def server(serving):
    return serving()[1]


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, trust_env=False, verify=False) as opened:
        yield opened


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json()


@settings(
    max_examples=300, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(parameters, st.lists(st.text(max_size=4), max_size=1), bodies)
def test_any_query_and_body_has_an_answer(server, client, document, wav, spool, query, more, body):
    whole = wav(2000)
    content = {"whole": whole, "half": whole[:3000], "noise": b"\x5a" * 500, "none": b""}[body]
    named = [*query.items(), *((name, "1") for name in more)]
    answer = client.post("/separate", params=named, content=content)
    operation = document["paths"]["/separate"]["post"]
    assert str(answer.status_code) in operation["responses"]
    kind = answer.headers["content-type"].partition(";")[0]
    if answer.status_code == 200:
        assert body == "whole"
        if kind == "application/zip":
            files = unzipped(answer.content)
            report = json.loads(files.pop("report.json"))
            assert set(report["stems"].values()) == set(files)
            sounds = list(files.values())
        else:
            sounds = [answer.content]
        for sound in sounds:
            assert 1 <= from_audio(sound).shape[1] <= 2000
    else:
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["message"].count("got") >= 1
        assert str(spool) not in error["message"]
    wait_until(lambda: server.server.separate.desk.taken == 0)
    assert not list(spool.iterdir())
    assert threading.active_count() < 40
