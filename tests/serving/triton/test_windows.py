"""The model ``windows`` on the real server: a recording is the same sound as separated here."""

from __future__ import annotations

import re
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from sgn_rt.errors import EngineError, UnavailableError
from sgn_rt.serving.triton.client import TritonClient

from .tritonserver import Server


@pytest.fixture(scope="module")
def client(server):
    with TritonClient(server.url) as opened:
        yield opened


def same(here, there):
    assert list(here.sources) == list(there.sources)
    for name, source in here.sources.items():
        np.testing.assert_array_equal(there.sources[name], source)
    assert there.presence == here.presence


@pytest.mark.parametrize("categories", [["bell", "drum"], ["drum"], [], None])
@pytest.mark.parametrize("rate", [8000, 11025])
def test_a_recording_is_the_same_to_the_bit(local, client, signal, categories, rate):
    mixture = signal(9000, channels=2)
    options = {"sample_rate": rate, "residual": True}
    here = local.separate(mixture, categories, **options)
    there = client.separate(mixture, categories, **options)
    same(here, there)
    assert there.engine == "triton"
    assert (there.windows["triton"],) == tuple(here.windows.values())


def test_a_stream_of_this_package_runs_its_windows_there(local, client, signal):
    outs = []
    for separator in (local, client.separator):
        stream = separator.stream(sample_rate=8000, categories=["drum"], latency_s=0.05)
        outs.append([stream.feed(signal(700, seed=seed))["drum"] for seed in range(5)])
        outs[-1].append(stream.flush()["drum"])
    np.testing.assert_array_equal(*(np.concatenate(out, axis=-1) for out in outs))


def test_files_are_written_as_ever(client, signal, tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.wav", signal(3000)[0], 8000, subtype="FLOAT")
    done = client.separate_to(tmp_path / "a.wav", tmp_path / "out", ["drum"])
    expected = client.separate(tmp_path / "a.wav", ["drum"]).sources["drum"]
    samples, _ = soundfile.read(done.stems["drum"], dtype="float32", always_2d=True)
    np.testing.assert_array_equal(samples.T, expected)


def _asked(mixture, *rows):
    tensors = []
    for name, array, kind in (("mixture", mixture, "FP32"),
                              ("categories", np.array(rows, np.int64), "INT64")):  # fmt: skip
        tensor = InferInput(name, list(array.shape), kind)
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    return tensors


def test_windows_of_a_request_have_categories_of_their_own(server, local, signal):
    mixture = np.concatenate([signal(1016, seed=seed) for seed in range(3)])
    rows = ([0, 1], [1, 0], [1, 1])
    with InferenceServerClient(server.url) as raw:
        answer = raw.infer("windows", _asked(mixture, *rows))
    for row, chosen in enumerate(rows):
        expected = local.engine.separate(mixture[row : row + 1], np.array(chosen))
        np.testing.assert_array_equal(answer.as_numpy("sources")[row], expected.sources[0])
        np.testing.assert_array_equal(answer.as_numpy("presence")[row], expected.presence[0])


def _metric(server: Server, name: str) -> int:
    text = urllib.request.urlopen(server.metrics).read().decode()
    return int(float(re.search(rf'^{name}{{model="windows",.*}} (\S+)$', text, re.M)[1]))


def test_calls_that_wait_together_are_joined_whatever_they_ask_for(server, local, signal):
    names = ("nv_inference_count", "nv_inference_exec_count")
    before = [_metric(server, name) for name in names]
    windows = [signal(1016, seed=seed) for seed in range(64)]
    chosen = [[seed % 2] * (1 + seed % 3) for seed in range(64)]
    answers, done = {}, threading.Semaphore(0)

    def told(number):
        def take(result, error):
            answers[number] = error or result
            done.release()

        return take

    with InferenceServerClient(server.url) as raw:
        for number, window in enumerate(windows):
            raw.async_infer("windows", _asked(window, chosen[number]), told(number))
        for _ in windows:
            assert done.acquire(timeout=60)
    counted, calls = (_metric(server, name) - old for name, old in zip(names, before, strict=True))
    assert counted == 64
    assert calls < 64
    for number, window in enumerate(windows):
        expected = local.engine.separate(window, np.array(chosen[number])).sources
        np.testing.assert_array_equal(answers[number].as_numpy("sources"), expected)


def test_a_bad_request_harms_no_other_and_no_engine(server, client, signal):
    bad = np.full((1, 1016), np.nan, np.float32)
    with InferenceServerClient(server.url) as raw:
        for request, words in (
            (_asked(bad, [0]), "AudioError: mixture: got samples that are not finite"),
            (_asked(signal(1016), [2]), "CategoryError: categories: got \\[2\\], expected"),
            (_asked(signal(1016), [-1]), "CategoryError: categories: got \\[-1\\], expected"),
        ):
            with pytest.raises(Exception, match=words):
                raw.infer("windows", request)
    assert client.separate(signal(2000), ["bell"], sample_rate=8000).engine == "triton"


def test_a_model_or_server_that_is_not_there_is_said(server, fails, signal):
    with (
        TritonClient(server.url, windows="nothing") as other,
        fails(UnavailableError, "'nothing'", "--load-model=nothing"),
    ):
        other.separate(signal(2000), sample_rate=8000)
    with (
        TritonClient("127.0.0.1:9", timeout_s=5.0) as other,
        fails(UnavailableError, "127.0.0.1:9", "Start it"),
    ):
        other.separate(signal(2000), sample_rate=8000)


def test_a_call_that_takes_too_long_is_said(server, fails, signal):
    with TritonClient(server.url, timeout_s=30.0) as other:
        separator = other.separator
        separator.engine._timeout_s = 1e-6
        with fails(EngineError, "no answer in time"):
            separator.separate(signal(2000), ["bell"], sample_rate=8000)


def test_any_number_of_threads_share_a_client(client, local, signal):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda seed: client.separate(signal(3000, seed=seed), ["bell"],
                                                          sample_rate=8000), range(8)))  # fmt: skip
    for seed, there in enumerate(made):
        same(local.separate(signal(3000, seed=seed), ["bell"], sample_rate=8000), there)
