"""A live stream to a server that fails: it is told, what came before is there, nobody waits."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sgn_rt.errors import OverloadError, ServerError, SgnError
from sgn_rt.serving.client import Client

from ..server.tools import PATIENCE_S

STARTED = {"type": "started", "sample_rate": 8000, "channels": 1, "categories": ["bell", "horn"],
           "latency_samples": 100, "sample_format": "f32le"}  # fmt: skip


ENDED = {"type": "ended", "samples": 8}
FRAMES = np.arange(16, dtype="<f4").tobytes()


def played(connection, *messages):
    """Plays a server: says a thing to a start message, more to a block, and the end to an end."""
    assert json.loads(connection.recv(PATIENCE_S))["type"] == "start"
    for number, message in enumerate(messages):
        if number == 1 or message == ENDED:
            connection.recv(PATIENCE_S)
        connection.send(message if isinstance(message, bytes) else json.dumps(message))


def fed_and_closed(stream):
    stream.feed(np.zeros(8, np.float32))
    return stream.close()


@pytest.mark.parametrize(
    ("messages", "kind", "word"),
    [
        ([STARTED, FRAMES[:-4], ENDED], ServerError, "no whole frames"),
        ([STARTED, FRAMES[:-8], ENDED], ServerError, "7 samples of 8"),
        ([STARTED, FRAMES, FRAMES, ENDED], ServerError, "16 samples of 8"),
        ([STARTED, FRAMES], ServerError, "not asked for"),
        ([STARTED, FRAMES, [1]], ServerError, "[1]"),
        ([STARTED, {"type": "presence", "kind": "appeared"}], ServerError, "presence"),
        ([STARTED, {"type": "error", "error": {"type": "OverloadError", "message": "Too late."}}],
         OverloadError, "Too late"),
    ],
)  # fmt: skip
def test_a_server_that_fails_is_told_and_never_waited_for(talking, messages, kind, word):
    url = talking(lambda connection: played(connection, *messages))
    with Client(url) as client, client.stream(sample_rate=8000) as stream:
        with pytest.raises(kind) as caught:
            fed_and_closed(stream)
        assert type(caught.value) is kind
        assert word in str(caught.value)
        with pytest.raises(kind):
            stream.feed(np.zeros(8, np.float32))


def test_what_came_before_a_failure_can_be_read(talking, fails):
    def play(connection):
        played(connection, STARTED)
        connection.recv(PATIENCE_S)
        connection.send(FRAMES)
        connection.socket.close()  # gone, without a word

    with Client(talking(play)) as client, client.stream(sample_rate=8000) as stream:
        stream.feed(np.zeros(8, np.float32))
        assert stream.wait()["horn"].shape == (1, 8)
        with fails(ServerError, "no answer"):
            stream.wait()
        with fails(ServerError, "no answer"):
            stream.read()


def test_no_server_or_none_of_ours(talking, answering, fails):
    def begun(url):
        with Client(url) as client, client.stream(sample_rate=8000):
            pass

    with fails(ServerError, "nothing here"):
        begun(answering(404, b"nothing here"))
    with fails(ServerError, "hello"):
        begun(talking(lambda connection: played(connection, {"type": "hello"})))
    with fails(ServerError, "no answer"):
        begun(talking(lambda connection: None))


def test_after_its_end_nothing_is_fed(talking, fails):
    url = talking(lambda connection: played(connection, STARTED, FRAMES, ENDED))
    with Client(url) as client, client.stream(sample_rate=8000) as stream:
        rest = fed_and_closed(stream)
        np.testing.assert_array_equal(rest["bell"], [range(0, 16, 2)])
        np.testing.assert_array_equal(rest["horn"], [range(1, 16, 2)])
        assert stream.close()["horn"].shape == (1, 0)
        with fails(SgnError, "after its end"):
            stream.feed(np.zeros(8, np.float32))
