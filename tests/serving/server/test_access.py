"""Who may come, and what browsers are told."""

from __future__ import annotations

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from sgn_rt.errors import ConfigError
from sgn_rt.serving.server.access import GUARDED
from sgn_rt.serving.server.options import ServerOptions, is_loopback

TOKEN = "a-token_of-20.letters"


@pytest.fixture
def guarded(running, fake_separator):
    return running(fake_separator().separator, host="0.0.0.0", token=TOKEN)


@pytest.fixture
def local(running, fake_separator):
    return running(fake_separator().separator)


def ask(server, path, method="GET", **headers):
    address = server.url.replace("0.0.0.0", "127.0.0.1")
    return httpx.request(method, address + path, headers=headers, trust_env=False, verify=False)


def handshake(server, **options) -> int:
    """The status that a request for a WebSocket gets."""
    address = server.ws_url.replace("0.0.0.0", "127.0.0.1")
    try:
        with connect(address, proxy=None, **options) as socket:
            return socket.response.status_code
    except InvalidStatus as error:
        return error.response.status_code


@pytest.mark.parametrize("path", sorted(GUARDED - {"/stream"}))
def test_what_is_guarded_needs_the_token(guarded, path):
    method = "POST" if path == "/separate" else "GET"
    for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {TOKEN}"},
                  {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": "Bearer"},
                  {"Authorization": "Bearer \u00e9\u00e9".encode("latin-1")}):  # fmt: skip
        answer = ask(guarded, path, method, **wrong)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["error"]["type"] == "TokenError"
    assert ask(guarded, path, method, Authorization=f"bearer {TOKEN}").status_code in (200, 400)


def test_probes_and_the_description_need_none(guarded):
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert ask(guarded, path).status_code == 200


def test_what_is_open_is_chosen(guarded):
    """A new endpoint is guarded, or said to be open."""
    paths = ask(guarded, "/openapi.json").json()["paths"]
    free = {path for path, (operation,) in ((p, o.values()) for p, o in paths.items())
            if operation.get("security") == []}  # fmt: skip
    assert free == {"/healthz", "/readyz", "/openapi.json"}
    assert set(paths) - free == GUARDED - {"/stream"}


def test_a_websocket_needs_the_token(guarded):
    assert handshake(guarded) == 401
    assert handshake(guarded, subprotocols=["bearer", "wrong"]) == 401
    assert handshake(guarded, subprotocols=["bearer", TOKEN]) == 101
    assert handshake(guarded, additional_headers={"Authorization": f"Bearer {TOKEN}"}) == 101


def test_the_token_is_not_sent_back(guarded):
    address = guarded.ws_url.replace("0.0.0.0", "127.0.0.1")
    with connect(address, subprotocols=["bearer", TOKEN], proxy=None) as socket:
        assert socket.subprotocol == "bearer"
        assert TOKEN not in str(socket.response.headers)
    assert TOKEN not in repr(guarded.options)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[", "0.0.0.0"])
def test_loopback_answers_to_its_own_names_alone(local, host):
    """Else a page of evil.example, which then becomes 127.0.0.1, would be of the same origin."""
    answer = ask(local, "/model", Host=host)
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "HostError"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.1.2.3:8", "[::1]:9"]
)
def test_its_own_names(local, host):
    assert ask(local, "/model", Host=host).status_code == 200


def test_a_proxy_names_it_as_it_likes(running, fake_separator):
    server = running(fake_separator().separator, behind_proxy=True)
    assert ask(server, "/model", Host="sound.example").status_code == 200


def test_pages_of_others_may_do_nothing(local):
    own = local.url
    for origin, posted, opened in (
        ("http://evil.example", 403, 403),
        ("null", 403, 403),
        (own + "0", 403, 403),
        (own, 400, 101),
    ):
        assert ask(local, "/separate", "POST", Origin=origin).status_code == posted
        assert handshake(local, origin=origin) == opened
    assert "access-control-allow-origin" not in ask(local, "/model", Origin=own).headers
    preflight = ask(local, "/separate", "OPTIONS", Origin="http://evil.example")
    assert preflight.status_code in (403, 405)
    assert "access-control-allow-origin" not in preflight.headers


def test_every_answer_has_the_headers(local):
    for path in (
        "/healthz",
        "/model",
        "/nowhere",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
    ):
        headers = ask(local, path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
    assert ask(local, "/%2e%2e/%2e%2e/etc/passwd").status_code == 404
    assert ask(local, "/separate").status_code == 405


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *((host, True) for host in ("127.0.0.1", "::1", "[::1]", "localhost", "127.9.9.9")),
        *((host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "localhost.evil", "")),
    ],
)
def test_what_loopback_is(host, local):
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"port": 65536}, "--port"),
        ({"port": True}, "--port"),
        ({"max_upload": 0}, "--max-upload"),
        ({"max_seconds": float("inf")}, "--max-seconds"),
        ({"time_limit_s": 0}, "--time-limit"),
        ({"drain_s": -1}, "--drain"),
        ({"overload": "panic"}, "overload"),
        ({"token": "short"}, "token"),
        ({"token": "a line\nmore of it" * 2}, "token"),
        ({"token": "no-subprotocol=/" * 2}, "token"),
        ({"host": "0.0.0.0"}, "host"),
    ],
)
def test_options_that_cannot_be(fails, options, words):
    with fails(ConfigError, words) as told:
        ServerOptions(**options)
    if "token" in options:
        assert options["token"] not in told.message
