"""The model ``live`` on the real server: sequences of blocks, each as `Separator.stream` alone."""

from __future__ import annotations

import json
import os
import queue
import signal as signals
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from sgn_rt.errors import (
    AudioError,
    CategoryError,
    ConfigError,
    EngineError,
    SgnError,
    UnavailableError,
)
from sgn_rt.serving.triton.client import TritonClient
from sgn_rt.serving.triton.repository import write_repository

from .conftest import PYTHON, SERVING


@pytest.fixture(scope="module")
def client(server):
    with TritonClient(server.url) as opened:
        yield opened


def joined(pieces):
    return {name: np.concatenate([piece[name] for piece in pieces], axis=-1) for name in pieces[0]}


def here(local, mixture, blocks, **options):
    """What a stream of this process makes of blocks, and the stream."""
    stream = local.stream(channels=len(mixture), **options)
    made = [stream.feed(block) for block in np.split(mixture, blocks, axis=1)]
    return joined([*made, stream.flush()]), stream


def there(client, mixture, blocks, **options):
    stream = client.stream(channels=len(mixture), **options)
    made = []
    for block in np.split(mixture, blocks, axis=1):
        stream.feed(block)
        made.append(stream.read())
    return joined([*made, stream.close()]), stream


CASES = [
    {"sample_rate": 8000, "latency_s": 0.05},
    {"sample_rate": 8000, "categories": ["drum"], "residual": True, "latency_s": 0.02},
    {"sample_rate": 11025, "categories": ["drum", "bell"], "gain_db": 6.0},
    {"sample_rate": 16000, "threshold": {"bell": 0.2}, "latency_s": 0.1},
    {"sample_rate": 8000, "categories": []},
]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_a_stream_is_the_same_to_the_bit(local, client, signal, options):
    mixture = signal(7000, channels=2)
    blocks = [0, 1, 500, 501, 4000]
    expected, ours = here(local, mixture, blocks, **options)
    found, theirs = there(client, mixture, blocks, **options)
    assert list(found) == list(expected)
    for name, samples in expected.items():
        assert samples.shape == mixture.shape
        np.testing.assert_array_equal(found[name], samples)
    assert theirs.latency_samples == ours.latency_samples
    assert theirs.presence == pytest.approx(ours.presence, abs=1e-7)
    assert theirs.present == ours.present


def test_sixteen_sequences_at_once_are_each_as_alone(local, client, signal):
    def options(seed):
        return CASES[seed % len(CASES)]

    def one(seed):
        blocks = np.arange(300 + 17 * seed, 6000, 300 + 17 * seed)
        return there(client, signal(6000, 1 + seed % 2, seed), blocks, **options(seed))[0]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(one, range(16)))
    for seed, sources in enumerate(found):
        mixture = signal(6000, 1 + seed % 2, seed)
        expected, _ = here(local, mixture, [3000], **options(seed))
        for name, samples in expected.items():
            np.testing.assert_array_equal(sources[name], samples)


def test_what_is_due_comes_without_being_closed(client, signal):
    with client.stream(sample_rate=8000, latency_s=0.05) as stream:
        assert 0 < stream.latency_samples <= 400
        stream.feed(signal(2000))
        stream._wait(0)
        due = 2000 - stream.latency_samples
        assert {name: out.shape for name, out in stream.read().items()} == {
            "bell": (1, due), "drum": (1, due),
        }  # fmt: skip
        assert stream.read()["bell"].shape == (1, 0)


def test_an_end_in_the_middle_gives_the_rest(client, signal):
    stream = client.stream(sample_rate=8000, categories=["bell"])
    stream.feed(signal(10))
    assert stream.close()["bell"].shape == (1, 10)
    empty = client.stream(sample_rate=8000, categories=["bell"])
    assert empty.close()["bell"].shape == (1, 0)


def test_options_that_cannot_be_had_are_the_errors_that_they_are_here(client, fails):
    with fails(ConfigError, "latency", "expected at least"):
        client.stream(sample_rate=8000, latency_s=1e-6)
    with fails(CategoryError, "'horn'"):
        client.stream(sample_rate=8000, categories=["horn"])
    with fails(ConfigError, "threshold"):
        client.stream(sample_rate=8000, threshold=2.0)
    with fails(AudioError, "rate"):
        client.stream(sample_rate=-1)


def test_a_stream_that_has_ended_says_so(client, fails, signal):
    stream = client.stream(sample_rate=8000)
    with fails(AudioError, "channel"):
        stream.feed(signal(10, channels=2))
    stream.close()
    with fails(SgnError, "after its end"):
        stream.feed(signal(10))
    stream.abort()  # once more does nothing


def feed_until_it_fails(stream, block):
    while True:
        stream.feed(block)
        stream._wait(0)


class Raw:
    """Sequences as any other client sends them."""

    def __init__(self, url):
        self._client, self._answers = InferenceServerClient(url), queue.Queue()
        self._client.start_stream(lambda result, error: self._answers.put((result, error)))

    def send(self, number, samples, *, start=False, end=False, parameters=None):
        block = np.zeros((1, 1, samples), np.float32)
        tensor = InferInput("audio", list(block.shape), "FP32")
        tensor.set_data_from_numpy(block)
        self._client.async_stream_infer(
            "live", [tensor], sequence_id=number, sequence_start=start, sequence_end=end,
            parameters=parameters,
        )  # fmt: skip
        result, error = self._answers.get(timeout=60)
        return str(error) if error else result.as_numpy("sources").shape

    def close(self):
        self._client.stop_stream()
        self._client.close()


@pytest.fixture
def raw(server):
    opened = Raw(server.url)
    yield opened
    opened.close()


START = {"sample_rate": 8000, "latency_s": "0.05", "categories": json.dumps(["bell"])}


def test_a_block_before_the_start_is_refused(raw):
    assert "must specify the START flag" in raw.send(91, 100)


def test_a_sequence_whose_start_failed_has_to_begin_anew(raw):
    assert "ConfigError: live: got parameters" in raw.send(92, 0, start=True)
    assert "stream that is not known" in raw.send(92, 10)
    assert raw.send(92, 0, start=True, parameters=START) == (1, 1, 1, 0)
    assert raw.send(92, 1000, end=True) == (1, 1, 1, 1000)


def test_parameters_that_are_no_json_are_said(raw):
    wrong = START | {"categories": "bell"}
    assert "categories: got the text 'bell'" in raw.send(93, 0, start=True, parameters=wrong)
    assert "not known" in raw.send(93, 0, end=True)


def test_a_number_that_starts_again_is_a_new_stream(raw):
    assert raw.send(94, 900, start=True, parameters=START)[-1] > 0
    again = raw.send(94, 0, start=True, parameters=START)
    assert again == (1, 1, 1, 0)
    assert raw.send(94, 0, end=True) == (1, 1, 1, 0)


def test_a_client_that_is_gone_frees_its_slot(serve, small_bundle, tmp_path):
    """Its sequence ends by time; then another may have its slot, and Triton ends cleanly."""
    serving = SERVING.__class__(engine="onnxruntime", threads=1, slots=1, idle_s=0.5)
    write_repository(small_bundle, tmp_path / "m", parts=[PYTHON[1]], serving=serving)
    server = serve(tmp_path / "m" / "models", load=["live"])
    gone = Raw(server.url)
    assert gone.send(1, 0, start=True, parameters=START) == (1, 1, 1, 0)
    gone.close()  # without an end; a cancelled request may keep Triton 2.51 from unloading
    # Start and end at once, as another half second without a block would end this one, too.
    after = Raw(server.url)
    assert after.send(2, 500, start=True, end=True, parameters=START) == (1, 1, 1, 500)
    after.close()
    assert server.stop() == 0, server.log
    assert server.left() == []


def test_killed_processes_are_said_and_replaced(serve, small_models, local, signal, fails):
    server = serve(small_models, load=["windows", "live"])
    try:
        with TritonClient(server.url, timeout_s=20.0) as client:
            stream = client.stream(sample_rate=8000)
            expected = client.separate(signal(3000), ["bell"], sample_rate=8000)
            for number in server.stubs():
                os.kill(number, signals.SIGKILL)
            # The windows' is loaded again by the client itself, and no sample is lost.
            found = client.separate(signal(3000), ["bell"], sample_rate=8000)
            np.testing.assert_array_equal(found.sources["bell"], expected.sources["bell"])
            # A live stream's sound so far was in the process.
            with pytest.raises(EngineError, match="expected a process that lives"):
                feed_until_it_fails(stream, signal(500))
            stream.abort()
            with pytest.raises(EngineError, match="expected a process that lives"):
                client.stream(sample_rate=8000)
            client.reload("live")
            again = client.stream(sample_rate=8000)
            again.feed(signal(500))
            assert again.close()["bell"].shape == (1, 500)
        with TritonClient(server.url, recover=False) as client:
            separator = client.separator
            (number,) = [n for n, line in server.stubs().items() if "windows_0" in line]
            os.kill(number, signals.SIGKILL)
            with pytest.raises(EngineError, match="--model-control-mode=explicit"):
                separator.separate(signal(3000), ["bell"], sample_rate=8000)
    finally:
        server.kill()  # with a dead process it takes half a minute to end


def test_a_server_that_loads_nothing_by_request_says_what_to_do(serve, small_models, signal, fails):
    server = serve(small_models, mode="none")
    try:
        with TritonClient(server.url) as client:
            client.separate(signal(3000), ["bell"], sample_rate=8000)
            (number,) = [n for n, line in server.stubs().items() if "windows_0" in line]
            os.kill(number, signals.SIGKILL)
            with fails(EngineError, "cannot be loaded again", "Restart the server"):
                client.separate(signal(3000), ["bell"], sample_rate=8000)
    finally:
        server.kill()


def test_a_server_that_is_gone_ends_its_streams(serve, small_models, signal):
    server = serve(small_models, load=["live"])
    with TritonClient(server.url, timeout_s=20.0) as client:
        stream = client.stream(sample_rate=8000)
        server.kill()
        with pytest.raises(UnavailableError, match="got no server"):
            feed_until_it_fails(stream, signal(500))
        stream.abort()
