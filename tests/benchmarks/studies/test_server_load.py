"""The load of a server: what is sent, counted and concluded; not how fast anything is."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from click.testing import CliRunner

from sgn_rt.benchmarks.studies.loads import Load
from sgn_rt.benchmarks.studies.served import Served, own_server
from sgn_rt.benchmarks.studies.server_load import main
from sgn_rt.errors import ServerError

from ...serving.server.conftest import running, serving, spool  # noqa: F401 - fixtures


@pytest.fixture
def load(tmp_path):
    """Runs the benchmark; its report and what it prints."""

    def measured(*arguments):
        path = tmp_path / "load.json"
        options = ["--clip", "0.5", "--seconds", "1", "--json", str(path)]
        done = CliRunner().invoke(main, [*options, *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(path.read_text()), done.output

    return measured


def test_every_recording_and_stream_is_counted(serving, load):  # noqa: F811
    _, server = serving()
    report, said = load("--url", server.url, "--rates", "5,10", "--streams", "1,3")
    assert [each["offered"] for each in report["recordings"]] == [5, 10]
    assert [each["done"] for each in report["recordings"]] == [5, 10]
    assert [each["done"] for each in report["streams"]] == [1, 3]
    for each in (*report["recordings"], *report["streams"]):
        assert each["errors"] == {}
        assert 0 <= each["p50_s"] <= each["p99_s"] <= each["max_s"]
        assert each["per_second"] > 0
    assert all(each["server"]["live_windows"] > 0 for each in report["streams"])
    assert all(each["server"]["request_s"] > 0 for each in report["recordings"])
    assert "10 recordings/s: 10 done" in said
    assert "3 live streams: 3 done" in said


def test_what_is_refused_is_an_error_and_the_limit(serving, load):  # noqa: F811
    _, server = serving(max_streams=1, token="a-token-of-many-letters")
    report, said = load(
        "--url", server.url, "--token", "a-token-of-many-letters", "--rates", "", "--streams", "3"
    )
    (streams,) = report["streams"]
    assert streams["done"] == 1
    assert streams["errors"] == {"OverloadError": 2}
    assert streams["limited_by"].startswith("places")
    assert "2 OverloadError" in said


def test_stems_that_are_wrong_are_not_timed(serving, load):  # noqa: F811
    def silent(call, answer):
        return answer._replace(presence=0 * answer.presence)

    _, server = serving(silent)
    with pytest.raises(ServerError, match="got stems of"):
        load("--url", server.url, "--rates", "1", "--streams", "")


@pytest.mark.parametrize(
    ("share", "busy", "errors", "word"),
    [
        (0.95, 1.0, {}, "processors"),
        (0.3, 0.97, {}, "processors, which others"),
        (0.3, 0.4, {}, "nothing yet"),
        (None, 0.4, {}, "unknown"),
        (0.95, 1.0, {"OverloadError": 1}, "places"),
        (0.95, 1.0, {"ServerError": 1}, "processors"),
    ],
)
def test_what_limits_is_read_off_the_figures(share, busy, errors, word):
    server = {"cpu_share": share, "machine_busy": busy}
    assert Load(1.0, errors=Counter(errors), server=server).limit().startswith(word)


def test_an_own_server_that_does_not_come_up_is_told():
    with pytest.raises(ServerError, match="takes work"), own_server(["--queue", "-1"]):
        pass


def test_processor_time_of_another_machine_is_not_guessed():
    assert Served("http://127.0.0.1:1").cpu_s() is None
