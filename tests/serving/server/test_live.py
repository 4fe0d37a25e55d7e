"""``WS /stream``: the sound of a stream alone, whatever clients do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from websockets.asyncio.client import connect as aconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from sgn_rt.audio.pcm import decoded, encoded
from sgn_rt.errors import EngineError, OverloadError
from sgn_rt.serving.server import live as live_module
from sgn_rt.serving.server import run as run_module
from sgn_rt.serving.server.start import Start

from .tools import PATIENCE_S, RATE, wait_until


def start(**changes) -> str:
    said = {"type": "start", "sample_rate": RATE, "channels": 1, "categories": ["bell", "horn"],
            "latency_s": 0.3, "sample_format": "f32le"}  # fmt: skip
    return json.dumps({**said, **changes})


@contextlib.contextmanager
def client(server, first: str | bytes | None = None, **options):
    """A WebSocket, on which a stream has begun."""
    with connect(server.ws_url, proxy=None, compression=None, **options) as websocket:
        websocket.send(start() if first is None else first)
        yield websocket


def told(websocket) -> dict:
    return json.loads(websocket.recv(PATIENCE_S))


def rest(websocket) -> tuple[list[bytes], list[dict]]:
    """All that comes until the server closes: PCM, and JSON."""
    sound: list[bytes] = []
    words: list[dict] = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            message = websocket.recv(PATIENCE_S)
            if isinstance(message, bytes):
                sound.append(message)
            else:
                words.append(json.loads(message))
    return sound, words


def failed(websocket) -> tuple[int, str]:
    """How the server closes, and what it says of it."""
    _, words = rest(websocket)
    assert words[-1]["type"] == "error"
    error = words[-1]["error"]
    assert "got" in error["message"]
    assert "expected" in error["message"]
    return websocket.close_code, error["type"]


def alone(separator, mixture: np.ndarray, **options) -> np.ndarray:
    """What a stream of its own gives, categories as consecutive channels."""
    chosen = {"categories": ["bell", "horn"], "latency_s": 0.3, **options}
    stream = separator.stream(sample_rate=RATE, channels=len(mixture), **chosen)
    first, last = stream.feed(mixture), stream.flush()
    return np.concatenate([np.concatenate([first[name], last[name]], axis=1) for name in first])


def blocks_of(mixture: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut at random, also into blocks of nothing."""
    cuts = np.sort(rng.integers(0, mixture.shape[1], 12))
    return np.split(mixture, cuts, axis=1)


def test_sixteen_at_once_are_as_alone(running, fake_separator, noise):
    fake = fake_separator()
    server = running(fake.separator)
    rng = np.random.default_rng(5)
    cases = [
        (noise(1 + i % 2, int(rng.integers(100, 12_000)), seed=i),
         {"latency_s": float(rng.uniform(0.2, 0.6)) if i % 4 else None, "residual": i % 3 == 0,
          "categories": [["bell", "horn"], ["drum"], ["horn", "bell", "drum"]][i % 3],
          "gain_db": float(i % 5)})
        for i in range(16)
    ]  # fmt: skip
    cut = [blocks_of(mixture, rng) for mixture, _ in cases]

    async def talk(i: int) -> tuple[np.ndarray, dict]:
        mixture, options = cases[i]
        async with aconnect(server.ws_url, proxy=None, compression=None) as websocket:
            await websocket.send(start(channels=len(mixture), **options))
            begun = json.loads(await websocket.recv())
            assert begun["type"] == "started"

            async def send() -> None:
                for block in cut[i]:
                    await websocket.send(encoded(block, "f32le"))
                await websocket.send('{"type": "end"}')

            sending, sound = asyncio.create_task(send()), b""
            async for message in websocket:
                if isinstance(message, bytes):
                    sound += message
                elif (last := json.loads(message))["type"] != "presence":
                    assert last == {"type": "ended", "samples": mixture.shape[1]}
            await sending
            assert websocket.close_code == 1000
            rows = len(begun["categories"]) * len(mixture)
            return decoded(sound, rows, "f32le"), begun

    async def all_of_them():
        return await asyncio.gather(*(talk(i) for i in range(16)))

    for (mixture, options), (sound, begun) in zip(cases, asyncio.run(all_of_them()), strict=True):
        residual = ["residual"] if options["residual"] else []
        assert begun["categories"] == options["categories"] + residual
        np.testing.assert_array_equal(sound, alone(fake.separator, mixture, **options))
    assert server.server.backend.opened[1].stats().streams == 0


def test_integers_in_and_out(running, fake_separator, noise):
    fake = fake_separator()
    server = running(fake.separator)
    mixture = noise(2, 5000)
    with client(server, start(sample_format="s16le", channels=2)) as websocket:
        assert told(websocket)["sample_format"] == "s16le"
        websocket.send(encoded(mixture, "s16le"))
        websocket.send('{"type": "end"}')
        sound, _ = rest(websocket)
    heard = decoded(encoded(mixture, "s16le"), 2, "s16le")
    assert b"".join(sound) == encoded(alone(fake.separator, heard), "s16le")


def test_latency_is_what_is_told(running, fake_separator, noise):
    """So many samples behind the input come without an end."""
    server = running(fake_separator().separator)
    with client(server) as websocket:
        latency = told(websocket)["latency_samples"]
        websocket.send(encoded(noise(1, latency + 1000), "f32le"))
        samples = 0
        while samples < 1000:
            message = websocket.recv(PATIENCE_S)
            samples += len(message) // 8 if isinstance(message, bytes) else 0
        assert samples == 1000


def test_a_reset_begins_anew(running, fake_separator, noise):
    fake = fake_separator()
    server = running(fake.separator)
    first, second = noise(1, 6000, seed=1), noise(1, 4321, seed=2)
    with client(server) as websocket:
        begun = told(websocket)
        websocket.send(encoded(first, "f32le"))
        websocket.recv(PATIENCE_S)
        websocket.send('{"type": "reset"}')
        while isinstance(message := websocket.recv(PATIENCE_S), bytes) or "started" not in message:
            pass
        assert json.loads(message) == begun
        websocket.send(encoded(second, "f32le"))
        websocket.send('{"type": "end"}')
        sound, words = rest(websocket)
    assert words[-1] == {"type": "ended", "samples": 4321}
    np.testing.assert_array_equal(
        decoded(b"".join(sound), 2, "f32le"), alone(fake.separator, second)
    )


def test_what_appears_and_disappears_is_told(serving, noise):
    """A drum that begins to sound after some windows, and ends."""

    def fault(call, answer):
        level = 0.95 if 8 <= call < 24 else 0.02
        answer.presence[:] = [0.01, level, 0.01]
        return answer

    _, server = serving(fault)
    with client(server) as websocket:
        told(websocket)
        websocket.send(encoded(noise(1, 24_000), "f32le"))
        websocket.send('{"type": "end"}')
        _, words = rest(websocket)
    events = [each for each in words if each["type"] == "presence"]
    assert [each["kind"] for each in events] == ["appeared", "disappeared"]
    assert {each["category"] for each in events} == {"drum"}
    assert 0 < events[0]["time_s"] < events[1]["time_s"] < 3.0
    assert events[0]["probability"] > 0.5 > events[1]["probability"]


STARTS = (
    (b"\0\0\0\0", 1003, "ConfigError"),
    ("no json", 1003, "ConfigError"),
    ("[1]", 1003, "ConfigError"),
    ('{"type": 1}', 1003, "ConfigError"),
    ("[" * 100_000, 1003, "ConfigError"),
    ('{"type": "end"}', 1003, "ConfigError"),
    ('{"type": "start"}', 1008, "AudioError"),
    (start(sample_rate="44100"), 1008, "AudioError"),
    (start(sample_rate=44100.5), 1008, "AudioError"),
    (start(channels=0), 1008, "AudioError"),
    (start(channels=9), 1008, "AudioError"),
    (start(categories=["harp"]), 1008, "CategoryError"),
    (start(categories="bell"), 1008, "ConfigError"),
    (start(categories=[]), 1008, "ConfigError"),
    (start(categories=[["bell"]]), 1008, "ConfigError"),
    (start(latency_s=0.0), 1008, "ConfigError"),
    (start(latency_s=[]), 1008, "ConfigError"),
    (start(residual=1), 1008, "ConfigError"),
    (start(gain_db="loud"), 1008, "ConfigError"),
    (start(gain_db=float("nan")), 1008, "ConfigError"),
    (start(threshold="x"), 1008, "ConfigError"),
    (start(threshold={"harp": 0.5}), 1008, "ConfigError"),
    (start(sample_format="f64le"), 1008, "ConfigError"),
    (start(color="red"), 1008, "ConfigError"),
)


def test_starts_that_cannot_be_had(shared):
    for first, code, kind in STARTS:
        with client(shared, first) as websocket:
            assert failed(websocket) == (code, kind), first


MESSAGES = (
    (b"\0\0\0", 1007, "AudioError"),
    (np.array([0.0, np.nan], "<f4").tobytes(), 1007, "AudioError"),
    ("no json", 1003, "ConfigError"),
    (start(), 1003, "ConfigError"),
)


def test_messages_that_are_none(shared):
    for message, code, kind in MESSAGES:
        with client(shared) as websocket:
            told(websocket)
            websocket.send(message)
            assert failed(websocket) == (code, kind), message


@pytest.fixture
def shared(running, fake_separator):
    """A server of which nothing is left behind, whatever was sent."""
    server = running(fake_separator().separator)
    yield server
    wait_until(lambda: streams(server) == 0)


def streams(server) -> int:
    return server.server.backend.opened[1].stats().streams


def test_a_message_that_is_too_large(shared):
    with client(shared) as websocket:
        told(websocket)
        with contextlib.suppress(ConnectionClosed):
            websocket.send(b"\0" * (live_module.MESSAGE_BYTES + 4))
        assert failed(websocket) == (1009, "TooLarge")


def test_a_client_that_does_not_begin(shared, monkeypatch):
    monkeypatch.setattr(live_module, "_START_S", 0.05)
    with connect(shared.ws_url, proxy=None) as websocket:
        assert failed(websocket) == (1008, "TimeLimit")


def test_as_many_as_the_server_takes(running, fake_separator):
    server = running(fake_separator().separator, max_streams=2)
    with client(server) as one, client(server) as two:
        told(one)
        told(two)
        with client(server) as three:
            assert failed(three) == (1013, "OverloadError")
        one.send('{"type": "end"}')
        rest(one)
        with client(server) as four:
            assert told(four)["type"] == "started"


def test_what_the_hub_refuses_is_told(shared, monkeypatch):
    def refuse(**options):
        raise OverloadError("hub: got one stream too many, expected fewer. Come later.")

    monkeypatch.setattr(shared.server.backend.opened[1], "open", refuse)
    with client(shared) as websocket:
        assert failed(websocket) == (1013, "OverloadError")


def slow(call, answer):
    """An engine that takes longer than windows have."""
    threading.Event().wait(0.03)
    return answer


def test_overload_is_told(serving, noise):
    """Windows that are late, or heard by no network, are not kept from the client."""
    _, server = serving(slow, overload="pass-through", deadline_s=0.01)
    with client(server) as websocket:
        told(websocket)
        websocket.send(encoded(noise(1, 16_000), "f32le"))
        websocket.send('{"type": "end"}')
        _, words = rest(websocket)
    counts = {each["kind"]: each["count"] for each in words if each["type"] == "overload"}
    assert set(counts) <= {"late", "pass-through"}
    assert sum(counts.values()) >= 1
    assert words[-1] == {"type": "ended", "samples": 16_000}


def test_a_stream_that_is_late_ends_where_that_is_the_policy(serving, noise):
    _, server = serving(slow, overload="raise", deadline_s=0.01)
    with client(server) as websocket:
        told(websocket)
        websocket.send(encoded(noise(1, 16_000), "f32le"))
        assert failed(websocket) == (1013, "OverloadError")


def test_an_engine_that_fails_is_told(serving, noise):
    def fault(call, answer):
        raise EngineError("engine: got a fault, expected none. Try again.")

    _, server = serving(fault)
    with client(server) as websocket:
        told(websocket)
        websocket.send(encoded(noise(1, 8000), "f32le"))
        assert failed(websocket) == (1011, "EngineError")
    wait_until(lambda: streams(server) == 0)


@pytest.mark.parametrize("how", ["closes", "vanishes"])
def test_a_client_that_goes(running, fake_separator, noise, how):
    """Also without a word: its stream is gone at once, another goes on."""
    fake = fake_separator()
    server = running(fake.separator)
    mixture = noise(1, 6000)
    with client(server) as stays:
        told(stays)
        stays.send(encoded(mixture[:, :3000], "f32le"))
        with client(server) as goes:
            told(goes)
            goes.send(encoded(mixture, "f32le"))
            goes.recv(PATIENCE_S)
            if how == "vanishes":
                linger = struct.pack("ii", 1, 0)  # a reset instead of a farewell
                goes.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                goes.socket.shutdown(socket.SHUT_RDWR)
            goes.close()
        wait_until(lambda: streams(server) == 1)
        stays.send(encoded(mixture[:, 3000:], "f32le"))
        stays.send('{"type": "end"}')
        sound, _ = rest(stays)
    np.testing.assert_array_equal(
        decoded(b"".join(sound), 2, "f32le"), alone(fake.separator, mixture)
    )


def test_a_client_that_goes_while_it_waits_for_the_rest(serving, noise, gate):
    _, server = serving(gate)
    with client(server) as websocket:
        told(websocket)
        websocket.send(encoded(noise(1, 8000), "f32le"))
        websocket.send('{"type": "end"}')
        assert gate.reached.wait(PATIENCE_S)
    wait_until(lambda: streams(server) == 0)
    assert server.server.backend.opened[1].stats().given_up == 0  # nobody took the call for hung


def test_what_is_ready_while_a_client_ends_comes_with_the_rest():
    """The end comes while a message is on its way, and the next is ready at once."""

    async def talk() -> tuple[list[int], list[str]]:
        taken, sent, words = iter(range(9)), [], []
        arrived, on_its_way = asyncio.Event(), asyncio.Event()
        ends = asyncio.Queue()

        async def aread():
            return {"bell": np.full((1, 1), next(taken), np.float32)}

        async def aclose():
            return {"bell": np.array([list(taken)], np.float32)}

        async def send_bytes(data):
            on_its_way.set()
            await arrived.wait()
            sent.extend(np.frombuffer(data, "<f4").astype(int).tolist())

        async def send_json(message):
            words.append(message["type"])

        async def nothing(code):
            words.append(code)

        stream = SimpleNamespace(
            categories=("bell",), sample_rate=RATE, channels=1, latency_samples=0, overload={},
            aread=aread, aclose=aclose, events=list,
        )  # fmt: skip
        websocket = SimpleNamespace(
            send_bytes=send_bytes, send_json=send_json, receive=ends.get, close=nothing
        )
        said = Start.of({"sample_rate": RATE, "categories": ["bell"]}, 1)
        talking = asyncio.create_task(
            live_module._Talk(websocket, stream, said).run(asyncio.Event())
        )
        await on_its_way.wait()
        await ends.put({"type": "websocket.receive", "text": '{"type": "end"}'})
        for _ in range(20):  # whoever can go on has done so
            await asyncio.sleep(0)
        arrived.set()
        await asyncio.wait_for(talking, PATIENCE_S)
        return sent, words

    sent, words = asyncio.run(talk())
    assert sent == list(range(9))
    assert words == ["started", "ended", 1000]


def test_a_client_that_does_not_read_is_not_waited_for(running, fake_separator, noise, monkeypatch):
    """Nor is what it should read kept: it is sent no more, and then it is let go."""
    monkeypatch.setattr(live_module, "STALL_S", 0.3)
    monkeypatch.setattr(run_module, "SWEEP_S", 0)
    server = running(fake_separator().separator)
    block = encoded(noise(1, 32_000), "f32le")
    with client(server, max_queue=1) as websocket:
        told(websocket)
        with contextlib.suppress(ConnectionClosed):
            while True:
                websocket.send(block)
    wait_until(lambda: streams(server) == 0)


def test_a_client_that_floods_loses_nothing(serving, noise, gate):
    """More than there is room for, while the engine stands: the connection is what waits."""
    fake, server = serving(gate)
    mixture = noise(1, 40 * RATE)
    with client(server) as websocket:
        told(websocket)
        fed = threading.Event()

        def feed() -> None:
            for at in range(0, mixture.shape[1], 3000):
                websocket.send(encoded(mixture[:, at : at + 3000], "f32le"))
            websocket.send('{"type": "end"}')
            fed.set()

        thread = threading.Thread(target=feed)
        thread.start()
        assert gate.reached.wait(PATIENCE_S)
        gate.opened.set()
        sound, words = rest(websocket)
        thread.join()
    assert words[-1] == {"type": "ended", "samples": mixture.shape[1]}
    np.testing.assert_array_equal(
        decoded(b"".join(sound), 2, "f32le"), alone(fake.separator, mixture)
    )


def test_a_server_that_drains_lets_streams_end(running, fake_separator, noise):
    fake = fake_separator()
    server = running(fake.separator)
    mixture = noise(1, 5000)
    with client(server) as websocket:
        told(websocket)
        websocket.send(encoded(mixture[:, :2000], "f32le"))
        server.end()
        wait_until(lambda: server.server.backend.draining)
        with client(server) as late:
            assert failed(late) == (1012, "Draining")
        websocket.send(encoded(mixture[:, 2000:], "f32le"))
        websocket.send('{"type": "end"}')
        sound, _ = rest(websocket)
        assert websocket.close_code == 1000
    np.testing.assert_array_equal(
        decoded(b"".join(sound), 2, "f32le"), alone(fake.separator, mixture)
    )
    server.join()
    assert server.error is None


def test_a_server_that_has_drained_long_enough_ends_streams(running, fake_separator, noise):
    server = running(fake_separator().separator, drain_s=0.05)
    with client(server) as websocket:
        told(websocket)
        websocket.send(encoded(noise(1, 5000), "f32le"))
        server.end()
        assert failed(websocket) == (1012, "Draining")
    server.join()
    assert server.error is None
