"""A recording through the client: the very stems, to memory and to disk, and every failure."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import zipfile

import numpy as np
import pytest
import soundfile

from sgn_rt.errors import (
    AudioError,
    CategoryError,
    ConfigError,
    EngineError,
    OverloadError,
    ServerError,
)
from sgn_rt.serving.client import AsyncClient, Client

from ..server.tools import PATIENCE_S, RATE, as_wav

NAMES = ["bell", "horn"]


@pytest.fixture
def mixture(noise):
    return noise(2, 5001)


@pytest.fixture
def path(tmp_path, mixture):
    path = tmp_path / "mix.wav"
    path.write_bytes(as_wav(mixture))
    return path


@pytest.fixture
def piped(held):
    """A file object that cannot seek, and whose size nobody knows."""

    def make(content: bytes):
        out, into = os.pipe()
        reading = held.enter_context(os.fdopen(out, "rb"))
        with os.fdopen(into, "wb") as writing:
            writing.write(content)  # less than a pipe holds
        return reading

    return make


def same(sources, expected):
    assert list(sources) == list(expected)
    for name, sound in expected.items():
        assert sources[name].dtype == np.float32
        np.testing.assert_array_equal(sources[name], sound)


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "file", "rest", "pipe"])
def test_the_very_stems_of_whatever_holds_a_recording(client, fake, path, mixture, piped, kind):
    content = path.read_bytes()
    rest = io.BytesIO(b"before" + content)
    rest.seek(6)
    with path.open("rb") as file:
        recordings = {"path": path, "text": str(path), "bytes": content, "file": file,
                      "rest": rest, "pipe": piped(content)}  # fmt: skip
        result = client.separate(recordings[kind], NAMES, residual=True)
    expected = fake.separator.separate(mixture, NAMES, sample_rate=RATE, residual=True)
    same(result.sources, expected.sources)
    assert result.sample_rate == RATE
    assert result.report["presence"] == pytest.approx(expected.presence)


def test_asyncio_gives_the_same_and_many_at_once(server, fake, path, mixture):
    async def main():
        async with AsyncClient(server.url) as client:
            assert await client.ready()
            assert (await client.model())["categories"] == list(fake.separator.categories)
            return await asyncio.gather(*(client.separate(path, NAMES) for _ in range(5)))

    expected = fake.separator.separate(mixture, NAMES, sample_rate=RATE).sources
    for result in asyncio.run(main()):
        same(result.sources, expected)


@pytest.mark.parametrize("form", ["wav", "flac"])
def test_files_are_those_of_a_local_run(client, fake, path, tmp_path, form, tree):
    here = fake.separator.separate_to(path, tmp_path / "here", NAMES, format=form)
    there = client.separate_to(path, tmp_path / "there", NAMES, format=form)
    assert tree(tmp_path / "here") == tree(tmp_path / "there")
    assert list(there.stems) == NAMES
    for name, file in there.stems.items():
        assert file == tmp_path / "there" / "mix" / f"{name}.{form}"
        ours, theirs = (soundfile.read(each)[0] for each in (here.stems[name], file))
        np.testing.assert_array_equal(ours, theirs)
        assert soundfile.info(file).subtype == soundfile.info(here.stems[name]).subtype
    again = client.separate_to(path, tmp_path / "there", ["drum"], format=form)
    assert tree(tmp_path / "there") == ["mix", f"mix/drum.{form}", "mix/sgn-rt.json"]
    assert list(again.stems) == ["drum"]


def test_options_reach_the_network(client, fake, path):
    options = {"threshold": 0.05, "level": 6.0, "start_s": 0.1, "duration_s": 0.3}
    result = client.separate(path, **options)
    expected = fake.separator.separate(path, **options)
    same(result.sources, expected.sources)
    assert result.report["gain_db"] == expected.gain_db == 6.0


def test_what_nobody_knows_is_refused_before_it_is_sent(client, path, fails):
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        client.separate(path, colour="red")
    with fails(ConfigError, "bell"):
        client.separate(path, "bell")
    with fails(AudioError, "ndarray"):
        client.separate(np.zeros(8))
    with fails(AudioError, "No such file"):
        client.separate(path.parent / "nowhere.wav")
    with fails(ConfigError, "ftp://"):
        Client("ftp://somewhere")


def test_errors_of_the_server_are_our_own(client, serving, path, fails):
    with fails(CategoryError, "'cow'"):
        client.separate(path, ["cow"])
    with fails(AudioError, "recording"):
        client.separate(b"no sound at all")

    def broken(call, answer):
        raise EngineError("engine: got a spark, expected none. Buy another.")

    url = serving(broken)[1].url
    with Client(url) as other, pytest.raises(EngineError, match="spark"):
        other.separate(path)


def test_a_token_opens_and_its_lack_is_told(running, fake, path):
    token = "a-token-of-many-letters"
    url = running(fake.separator, token=token).url
    with Client(url, token=token) as client:
        assert client.separate(path, NAMES).sources
    with Client(url) as client, pytest.raises(ServerError, match="Authorization"):
        client.separate(path, NAMES)


def test_a_full_server_is_an_overload_that_says_when_to_come_again(serving, gate, wav):
    url = serving(gate, jobs=1, queue=0)[1].url

    async def main():
        async with AsyncClient(url) as client:
            first = asyncio.create_task(client.separate(wav(), NAMES))
            assert await asyncio.to_thread(gate.reached.wait, PATIENCE_S)
            with pytest.raises(OverloadError, match="recordings") as caught:
                await client.separate(wav(), NAMES)
            gate.opened.set()
            assert list((await first).sources) == NAMES
        return caught.value.__notes__

    (note,) = asyncio.run(main())
    assert "Retry-After: 5" in note


def test_a_server_whose_engine_opens_is_not_ready(running, fake, gate):
    def opener():
        gate(0, None)
        return fake.separator

    server = running(opener, wait=False)
    with Client(server.url) as client:
        assert not client.ready()
        gate.opened.set()
        assert server.server.backend.wait(PATIENCE_S)
        assert client.ready()


def test_an_upload_is_read_as_it_is_sent_and_no_further(running, fake, fails):
    url = running(fake.separator, max_upload=1 << 16).url

    class Endless(io.RawIOBase):
        taken = 0

        def read(self, size=-1):
            self.taken += size
            return bytes(size)

    endless = Endless()
    with Client(url) as client:
        with fails(AudioError, "at most 65536"):
            client.separate(endless)
        assert endless.taken < 1 << 20
        with fails(AudioError, "at most 65536"):
            client.separate(bytes(5 << 20))
        with fails(AudioError, "upload: ", "65536"):  # the server's own word
            client.separate(bytes(1 << 17))


def test_nobody_there(fails, path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}") as client:
        for call in (client.model, client.ready, lambda: client.separate(path)):
            with fails(ServerError, str(port), "sgn-rt serve"):
                call()


REPORT = {"stems": {"bell": "bell.wav"}, "sample_rate": RATE}


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def reported(report) -> bytes:
    stems = {
        "bell.wav": as_wav(np.zeros((1, 4000), np.float32)),
        "../bell.wav": b"",
        "sgn-rt.json": b"",
    }
    return zipped({"report.json": json.dumps(report).encode(), **stems})


GOOD = reported(REPORT)
DAMAGED = GOOD.replace(bytes(9000), bytes(8999) + b"\1", 1)


@pytest.mark.parametrize(
    ("body", "said", "word"),
    [
        (b"<html>", None, "no zip"),
        (zipped({"bell.wav": b""}), None, "report.json"),
        (reported({"stems": {"bell": "../bell.wav"}}), None, "../bell.wav"),
        (reported({"stems": {"bell": "sgn-rt.json"}}), None, "sgn-rt.json"),
        (reported({"stems": {"bell": "horn.wav"}}), None, "horn.wav"),
        (reported(["bell"]), None, "no zip"),
        (GOOD[:-200], len(GOOD), "no answer"),
        (DAMAGED, None, "CRC"),
    ],
)
def test_a_wrong_answer_leaves_nothing(answering, path, tmp_path, tree, fails, body, said, word):
    with Client(answering(200, body, said=said)) as client:
        with fails(ServerError, word):
            client.separate_to(path, tmp_path / "out")
        with fails(ServerError, word):
            client.separate(path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("status", "body", "kind", "word"),
    [
        (502, b"<h1>Bad Gateway</h1>", ServerError, "Bad Gateway"),
        (413, b"too much", AudioError, "413"),
        (503, b"", OverloadError, "503"),
        (302, b"", ServerError, "302"),
        (418, b'{"error": {"type": "Teapot", "message": "I am a pot."}}', ServerError, "a pot"),
        (400, b'{"error": {"type": "Exception", "message": "Odd."}}', ServerError, "Odd"),
        (500, b'{"error": "odd"}', ServerError, "'odd'"),
        (500, b"[1]", ServerError, "[1]"),
    ],
)
def test_answers_of_others_become_our_own_errors(answering, path, status, body, kind, word):
    with Client(answering(status, body)) as client, pytest.raises(kind) as caught:
        client.separate(path)
    assert type(caught.value) is kind
    assert word in str(caught.value)


def test_who_stops_waiting_ends_the_work(serving, gate, path, tmp_path):
    url = serving(gate)[1].url

    async def main():
        async with AsyncClient(url) as client:
            task = asyncio.create_task(client.separate_to(path, tmp_path / "out", NAMES))
            assert await asyncio.to_thread(gate.reached.wait, PATIENCE_S)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.opened.set()

    asyncio.run(main())
    assert not (tmp_path / "out").exists()
