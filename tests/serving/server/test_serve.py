"""``sgn-rt serve``: what it takes, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from .tools import PATIENCE_S, unzipped, wait_until

PROGRAM = Path(__file__).with_name("fake_server.py")


class Process:
    """A server in a process of its own."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.folder, self.spool = folder, folder / "spool"
        self.spool.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(folder), "serve", "--port", "0",
             "--spool", str(self.spool), *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = self.process.stdout.readline()
        assert line.startswith("sgn-rt: listening on http://127.0.0.1:"), line
        self.url = line.split()[-1]
        self.client = httpx.Client(
            base_url=self.url, trust_env=False, verify=False, timeout=PATIENCE_S
        )
        wait_until(lambda: self.client.get("/readyz").status_code == 200)
        (folder / "armed").touch()

    def told(self, number: int) -> None:
        self.process.send_signal(number)

    def is_reached(self) -> bool:
        return (self.folder / "reached").exists()

    def go(self) -> None:
        (self.folder / "go").touch()

    def ended(self) -> tuple[int, str]:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out + err


@pytest.fixture
def start(tmp_path):
    started = []

    def make(*arguments) -> Process:
        started.append(Process(tmp_path, *arguments))
        return started[-1]

    yield make
    for each in started:
        each.client.close()
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()


@pytest.fixture
def aside():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_sigterm_lets_what_runs_end(start, aside, wav):
    server = start()
    post = aside.submit(server.client.post, "/separate?categories=bell", content=wav())
    wait_until(server.is_reached)
    server.told(signal.SIGTERM)
    with httpx.Client(base_url=server.url, trust_env=False, verify=False) as other:
        wait_until(lambda: other.get("/readyz").status_code == 503)
        assert other.get("/readyz").json()["error"]["type"] == "Draining"
        assert other.get("/healthz").status_code == 200
        refused = other.post("/separate", content=wav())
    assert refused.status_code == 503
    assert refused.json()["error"]["type"] == "Draining"
    assert not post.done()
    server.go()
    assert list(unzipped(post.result(PATIENCE_S).content)) == ["report.json", "bell.wav"]
    assert server.ended() == (0, "")
    assert not list(server.spool.iterdir())


def test_what_takes_too_long_to_drain_is_ended(start, aside, wav, noise):
    """A request and a live stream; both are told why."""
    server = start("--drain", 0.2)
    with connect(server.url.replace("http", "ws") + "/stream", proxy=None) as websocket:
        websocket.send('{"type": "start", "sample_rate": 8000}')
        assert json.loads(websocket.recv(PATIENCE_S))["type"] == "started"
        websocket.send(noise(1, 8000).T.tobytes())
        wait_until(server.is_reached)
        post = aside.submit(server.client.post, "/separate", content=wav())
        wait_until(lambda: list(server.spool.iterdir()))
        server.told(signal.SIGTERM)
        said = json.loads(websocket.recv(PATIENCE_S))
        assert (said["type"], said["error"]["type"]) == ("error", "Draining")
        with pytest.raises(ConnectionClosedError):
            websocket.recv(PATIENCE_S)
        assert websocket.close_code == 1012
    answer = post.result(PATIENCE_S)
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "Draining"
    server.go()
    assert server.ended() == (0, "")
    assert not list(server.spool.iterdir())


def test_a_second_signal_ends_at_once(start, aside, wav):
    server = start("--drain", 600)
    post = aside.submit(server.client.post, "/separate", content=wav())
    wait_until(server.is_reached)
    server.told(signal.SIGTERM)
    wait_until(
        lambda: httpx.get(server.url + "/readyz", trust_env=False, verify=False).status_code == 503
    )
    server.told(signal.SIGTERM)
    assert post.result(PATIENCE_S).status_code == 503
    server.go()
    assert server.ended() == (143, "sgn-rt: error: ended by SIGTERM\n")
    assert not list(server.spool.iterdir())


def test_an_engine_that_hangs_does_not_keep_the_process(start, aside, wav):
    server = start("--drain", 0)
    post = aside.submit(server.client.post, "/separate", content=wav())
    wait_until(server.is_reached)
    server.told(signal.SIGINT)
    assert post.result(PATIENCE_S).status_code == 503
    code, said = server.ended()
    assert code == 0
    assert "does not end" in said
    assert not list(server.spool.iterdir())


def test_leftovers_of_a_killed_server_are_removed(start, aside, wav, running, fake_separator):
    killed = start()
    post = aside.submit(killed.client.post, "/separate", content=wav())
    wait_until(killed.is_reached)
    killed.told(signal.SIGKILL)
    with pytest.raises(httpx.TransportError):
        post.result(PATIENCE_S)
    assert list(killed.spool.iterdir())
    running(fake_separator().separator)  # of the same spool
    assert not list(killed.spool.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "0.0.0.0"), "host: got '0.0.0.0', where everybody may come"),
        (("--host", "::", "--token", "short"), "token: got one that no header can carry"),
        (("--spool", "nowhere"), "spool: got nowhere, expected a folder"),
        (("--host", "192.0.2.1", "--behind-proxy"), "192.0.2.1:0: got"),
    ],
)
def test_what_it_does_not_do(run, arguments, words):
    result = run("serve", "--port", 0, *arguments)
    assert result.code == 2
    assert words in result.err
    assert result.err.count("\n") == 1


def test_one_token_is_enough(run, monkeypatch, tmp_path):
    monkeypatch.setenv("SGN_RT_TOKEN", "a" * 20)
    result = run("serve", "--token", "b" * 20)
    assert "token: got several" in result.err
    (tmp_path / "token").write_text("c" * 20)
    assert "token: got several" in run("serve", "--token-file", tmp_path / "token").err


def test_a_model_that_does_not_open_is_an_error(run, tmp_path):
    result = run("serve", tmp_path / "no bundle", "--port", 0)
    assert result.code == 2
    assert "no bundle" in result.err.splitlines()[-1]


def test_a_port_that_is_taken_is_an_error(run, running, fake_separator):
    server = running(fake_separator().separator)
    port = server.url.rpartition(":")[2]
    result = run("serve", "--port", port)
    assert result.code == 2
    assert f"127.0.0.1:{port}: got Address already in use" in result.err


def test_nothing_is_left_of_it_in_the_process(run, tmp_path):
    before = threading.active_count()
    run("serve", tmp_path, "--port", 0)
    assert threading.active_count() <= before
