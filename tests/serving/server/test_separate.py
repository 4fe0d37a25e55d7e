"""``POST /separate``: what comes back, and every way in which nothing does."""

from __future__ import annotations

import contextlib
import email
import json
import socket
import threading

import httpx
import numpy as np
import pytest

from sgn_rt.errors import EngineError, StorageError
from sgn_rt.serving.server import upload as upload_module

from .tools import PATIENCE_S, RATE, as_wav, from_audio, unzipped, wait_until


def post(server, content=b"", path="/separate", **options):
    with httpx.Client(
        base_url=server.url, trust_env=False, verify=False, timeout=PATIENCE_S
    ) as client:
        return client.post(path, content=content, **options)


def problem(answer) -> tuple[int, str, str]:
    error = answer.json()["error"]
    assert answer.headers["content-type"] == "application/json"
    assert set(error) == {"type", "message"}
    assert "got" in error["message"]
    assert "expected" in error["message"]
    return answer.status_code, error["type"], error["message"]


@pytest.fixture
def fake(fake_separator):
    return fake_separator()


@pytest.fixture
def server(running, fake):
    return running(fake.separator)


def test_a_zip_holds_the_very_stems(server, fake, noise):
    mixture = noise(2, 5001)
    answer = post(server, as_wav(mixture), params={"categories": "bell,horn", "residual": "true"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    files = unzipped(answer.content)
    assert list(files) == ["report.json", "bell.wav", "horn.wav", "residual.wav"]
    expected = fake.separator.separate(
        mixture, ["bell", "horn"], sample_rate=RATE, residual=True
    ).sources
    for name, sound in expected.items():
        np.testing.assert_array_equal(from_audio(files[f"{name}.wav"]), sound)
    report = json.loads(files["report.json"])
    assert report["input"] == "recording"
    assert report["stems"] == {name: f"{name}.wav" for name in ("bell", "horn", "residual")}
    assert report["engine"]["name"] == "fake"
    assert report["samples"] == 5001


def test_multipart_both_ways(server, fake, noise):
    mixture = noise(1, 3000)
    with httpx.Client(base_url=server.url, trust_env=False, verify=False) as client:
        answer = client.post(
            "/separate?categories=drum&format=flac",
            files={"file": ('../../etc/na"me\u00e4.wav', as_wav(mixture))},
            headers={"Accept": "multipart/mixed"},
        )
    kind = answer.headers["content-type"]
    parts = email.message_from_bytes(
        f"Content-Type: {kind}\r\n\r\n".encode() + answer.content
    ).get_payload()
    assert [part.get_filename() for part in parts] == ["report.json", "drum.flac"]
    assert "etc" in json.loads(parts[0].get_payload(decode=True))["input"]  # told, no path
    content = parts[1].get_payload(decode=True)
    assert len(content) == int(parts[1]["Content-Length"])
    expected = fake.separator.separate(mixture, ["drum"], sample_rate=RATE).sources["drum"]
    np.testing.assert_allclose(from_audio(content), expected, atol=2**-23)


@pytest.mark.parametrize("stem", ["drum", "residual"])
def test_one_stem_is_one_file(server, fake, noise, stem):
    mixture = noise(1, 3000)
    answer = post(server, as_wav(mixture), params={"stem": stem, "categories": "bell,drum"})
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["content-disposition"] == f'attachment; filename="{stem}.wav"'
    assert int(answer.headers["content-length"]) == len(answer.content)
    expected = fake.separator.separate(
        mixture, ["bell", "drum"], sample_rate=RATE, residual=True
    ).sources[stem]
    np.testing.assert_array_equal(from_audio(answer.content), expected)


def test_part_of_a_recording_and_its_level(server, fake, noise):
    mixture = noise(1, 6000)
    answer = post(
        server, as_wav(mixture), params={"stem": "bell", "start": "0.25", "duration": "0.3",
                                         "level": "6", "threshold": "0.4"},
    )  # fmt: skip
    expected = fake.separator.separate(
        mixture, ["bell"], sample_rate=RATE, start_s=0.25, duration_s=0.3, level=6.0
    ).sources["bell"]
    np.testing.assert_array_equal(from_audio(answer.content), expected)


def test_nothing_present_is_a_report_alone(running, fake_separator, wav):
    server = running(fake_separator(presence=(0.0, 0.0, 0.0)).separator)
    assert list(unzipped(post(server, wav()).content)) == ["report.json"]


QUERIES = (
    ("categories=bell,harp", "CategoryError", "harp"),
    ("categories=bell,bell", "CategoryError", "twice"),
    ("categories=", "CategoryError", "names separated by commas"),
    ("categories=bell&stem=horn", "CategoryError", "horn"),
    ("stem=../../etc/passwd", "CategoryError", "passwd"),
    ("threshold=1.5", "ConfigError", "from 0 to 1"),
    ("threshold=nan", "ConfigError", "from 0 to 1"),
    ("residual=maybe", "ConfigError", "true or false"),
    ("format=mp3", "ConfigError", "wav or flac"),
    ("level=loud", "ConfigError", "auto, off or a gain"),
    ("level=500", "ConfigError", "at most 120 dB"),
    ("start=-1", "ConfigError", "not negative"),
    ("start=60", "AudioError", "recording: start"),
    ("duration=0", "ConfigError", "positive"),
    ("format=wav&format=flac", "ConfigError", "twice"),
    ("color=red", "ConfigError", "color"),
)


def test_what_cannot_be_had_is_said(server, wav):
    for query, kind, words in QUERIES:
        status, got, message = problem(post(server, wav(), f"/separate?{query}"))
        assert (status, got) == (400, kind), query
        assert words in message


def test_what_is_no_audio_is_said_without_a_path_of_this_machine(server, spool):
    status, kind, message = problem(post(server, b"no audio at all" * 100))
    assert (status, kind) == (400, "AudioError")
    assert message.startswith("recording: ")
    assert str(spool) not in message
    assert problem(post(server, b""))[:2] == (400, "AudioError")


def test_limits_of_size_are_exact(running, fake, wav):
    content = wav(4000)
    server = running(fake.separator, max_upload=len(content))
    longer = content + b"\0"

    def chunked(data):
        yield from (data[at : at + 1000] for at in range(0, len(data), 1000))

    for send in (lambda data: data, chunked):
        assert post(server, send(content)).status_code == 200
        assert problem(post(server, send(longer)))[:2] == (413, "TooLarge")
    with httpx.Client(base_url=server.url, trust_env=False, verify=False) as client:
        assert client.post("/separate", files={"file": content}).status_code == 200
        assert client.post("/separate", files={"file": longer}).status_code == 413


def test_what_claims_to_be_too_large_is_not_even_read(running, fake):
    server = running(fake.separator, max_upload=1000)
    with socket.create_connection(server._listener.getsockname()) as raw:
        raw.sendall(b"POST /separate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_limits_of_sound_are_exact(running, fake, wav):
    server = running(fake.separator, max_seconds=0.5, max_channels=2)
    assert post(server, wav(RATE // 2, 2)).status_code == 200
    assert problem(post(server, wav(RATE // 2 + 1, 2)))[:2] == (400, "AudioError")
    assert problem(post(server, wav(RATE // 2, 3)))[:2] == (400, "AudioError")


def test_uploads_that_are_none(server, wav):
    with socket.create_connection(server._listener.getsockname()) as raw:
        raw.sendall(b"POST /separate HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 411 ")
    assert problem(post(server, wav(), headers={"Content-Encoding": "gzip"}))[0] == 415
    mixed = {"Content-Type": "multipart/mixed; boundary=x"}
    assert problem(post(server, wav(), headers=mixed))[0] == 415


FORMS = (
    (b"", "ends early"),
    (b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nRIFF', "ends early"),
    (b'--x\r\nContent-Disposition: form-data; name="mp3"\r\n\r\na\r\n--x--\r\n', "'mp3'"),
    (b"--x\r\n\r\na\r\n--x--\r\n", "a field ''"),
    (b"no form", "form"),
    (
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\na\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nb\r\n--x--\r\n',
        "several",
    ),
    (b"--x\r\n" + b"A: b\r\n" * 10_000, "form"),
    (b"--x\r\nA: " + b"b" * 100_000, "form"),
)


def test_forms_that_are_none(server):
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for body, words in FORMS:
        status, _, message = problem(post(server, body, headers=headers))
        assert status == 400, body
        assert words in message


def test_headers_of_a_form_are_bounded(server, monkeypatch):
    """Also where python-multipart, as older ones, does not see to it."""
    monkeypatch.setattr(upload_module, "_HEADER_BYTES", 20)
    with httpx.Client(base_url=server.url, trust_env=False, verify=False) as client:
        answer = client.post("/separate", files={"file": b"RIFF"})
    assert "a header that is too long" in problem(answer)[2]


def test_a_form_without_a_boundary_is_none(server):
    for value in ("multipart/form-data", "multipart/form-data; boundary=" + "x" * 10_000):
        assert problem(post(server, b"abc", headers={"Content-Type": value}))[0] == 400


def test_too_many_at_once(serving, wav, gate):
    """One works, one waits, the third is told to come again."""
    server = serving(gate, jobs=1, queue=1)[1]
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda: codes.append(post(server, wav()).status_code))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    assert gate.reached.wait(PATIENCE_S)
    wait_until(lambda: server.server.separate.desk.taken == 2)
    refused = post(server, wav())
    assert problem(refused)[:2] == (429, "OverloadError")
    assert int(refused.headers["retry-after"]) > 0
    gate.opened.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert codes == [200, 200]
    assert post(server, wav()).status_code == 200


def test_the_time_limit_ends_the_work(serving, wav, gate, spool):
    fake, server = serving(gate, time_limit_s=0.3, jobs=1, queue=0)
    assert problem(post(server, wav(40_000)))[:2] == (504, "TimeLimit")
    assert problem(post(server, wav()))[0] == 429  # the thread is still in its window
    assert list(spool.iterdir())  # and its folder is left to it
    gate.opened.set()
    wait_until(lambda: server.server.separate.desk.taken == 0 and not list(spool.iterdir()))
    assert fake.engine.calls < 20  # of some eighty; the windows after that were not computed
    wait_until(lambda: post(server, wav(200)).status_code == 200)


def test_a_client_that_goes_while_it_is_separated(serving, wav, gate, spool):
    fake, server = serving(gate)
    content = wav(40_000)
    with socket.create_connection(server._listener.getsockname()) as raw:
        raw.sendall(
            b"POST /separate HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: %d\r\n\r\n" % len(content) + content
        )
        assert gate.reached.wait(PATIENCE_S)
    wait_until(lambda: server.server.separate.desk._left)  # it is known that nobody waits
    gate.opened.set()
    wait_until(lambda: server.server.separate.desk.taken == 0 and not list(spool.iterdir()))
    assert fake.engine.calls < 20  # of some eighty


def test_a_client_that_goes_while_it_sends(serving, wav, spool):
    """Also where what has come would do: half of what was announced is not separated."""
    fake, server = serving()
    content = wav()
    with socket.create_connection(server._listener.getsockname()) as raw:
        raw.sendall(
            b"POST /separate HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: %d\r\n\r\n" % (len(content) + 1) + content
        )
        wait_until(lambda: list(spool.iterdir()))
    wait_until(lambda: server.server.separate.desk.taken == 0 and not list(spool.iterdir()))
    assert fake.engine.calls == 0


def test_a_server_that_ends_while_a_client_sends(serving, wav):
    _, server = serving(drain_s=0.05)
    with socket.create_connection(server._listener.getsockname()) as raw:
        raw.sendall(b"POST /separate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nRIFF")
        wait_until(lambda: server.server.separate.desk.taken == 1)
        server.end()
        answer = raw.recv(4096)
    assert answer.startswith(b"HTTP/1.1 503 ")
    server.join()
    assert server.error is None


def test_a_client_that_goes_while_it_is_answered(server, noise, spool):
    content = as_wav(noise(8, 200_000))
    with socket.create_connection(server._listener.getsockname()) as raw:
        raw.sendall(
            b"POST /separate?categories=bell HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: %d\r\n\r\n" % len(content) + content
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 200 ")
    wait_until(lambda: server.server.separate.desk.taken == 0 and not list(spool.iterdir()))


def test_a_client_that_sends_no_more_is_not_waited_for(running, fake, wav, monkeypatch):
    monkeypatch.setattr(upload_module, "STALL_S", 0.1)
    server = running(fake.separator)
    with socket.create_connection(server._listener.getsockname()) as raw:
        raw.sendall(b"POST /separate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nRIFF")
        assert raw.recv(100).startswith(b"HTTP/1.1 408 ")
    assert server.server.separate.desk.taken == 0


def test_a_client_that_never_asks_is_not_waited_for(running, fake, monkeypatch):
    monkeypatch.setattr("sgn_rt.serving.server.run.HEAD_S", 0.1)
    server = running(fake.separator)
    for whole, half in ((b"", b""), (b"", b"GET /hea"), (b"GET /healthz HTTP/1.1\r\n", b"GET /h")):
        with socket.create_connection(server._listener.getsockname()) as raw:
            raw.settimeout(PATIENCE_S)
            if whole:
                raw.sendall(whole + b"Host: localhost\r\n\r\n")
                assert raw.recv(4096).startswith(b"HTTP/1.1 200 ")
            raw.sendall(half)
            with contextlib.suppress(ConnectionResetError):
                while raw.recv(1000):
                    pass


def test_a_full_disk_is_nobodys_fault_but_ours(server, wav, monkeypatch, spool):
    """The system's own: every write to /dev/full fails for want of space."""

    def full(path, *arguments, **options):
        return open("/dev/full", "wb", buffering=0)

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.open", full)
        status, kind, message = problem(post(server, wav()))
    assert (status, kind) == (503, "StorageError")
    assert str(spool) not in message
    assert post(server, wav()).status_code == 200


def test_stems_that_find_no_room_are_our_fault(server, fake, wav, monkeypatch, spool):
    def full(path, *arguments, **options):
        raise StorageError(f"{path}: got No space left on device, expected some. Make room.")

    monkeypatch.setattr(fake.separator, "separate_to", full)
    status, kind, message = problem(post(server, wav()))
    assert (status, kind) == (503, "StorageError")
    assert str(spool) not in message


def test_an_engine_that_fails_is_told(serving, wav):
    def fault(call, answer):
        if call == 0:
            raise EngineError("engine: got a fault, expected none. Try again.")
        return answer

    _, server = serving(fault)
    assert problem(post(server, wav()))[:2] == (500, "EngineError")
    assert post(server, wav()).status_code == 200


def test_what_nobody_foresaw_is_told_by_its_kind_alone(server, fake, wav, monkeypatch):
    def fault(*arguments, **options):
        raise LookupError("/a/path/of/ours")

    monkeypatch.setattr(fake.separator, "separate_to", fault)
    status, kind, message = problem(post(server, wav()))
    assert (status, kind) == (500, "ServerError")
    assert "LookupError" in message
    assert "/a/path" not in message


def test_separations_do_not_hold_each_other_up(running, fake_separator, noise):
    """Side by side on one engine, each gets its own sound."""
    fake = fake_separator()
    server = running(fake.separator, jobs=4, queue=12)
    mixtures = [noise(1, 2000 + 100 * i, seed=i) for i in range(8)]
    answers: dict[int, httpx.Response] = {}

    def ask(i: int) -> None:
        answers[i] = post(server, as_wav(mixtures[i]), params={"stem": "bell"})

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    for i, mixture in enumerate(mixtures):
        expected = fake.separator.separate(mixture, ["bell"], sample_rate=RATE).sources["bell"]
        np.testing.assert_array_equal(from_audio(answers[i].content), expected)
