"""Probes, figures, and the interface as OpenAPI describes it."""

from __future__ import annotations

import sys
import threading

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from sgn_rt.errors import EngineError, ParityWarning
from sgn_rt.serving.server import tracing
from sgn_rt.serving.server.parameters import PARAMETERS

from .tools import PATIENCE_S, wait_until


@pytest.fixture
def get():
    with httpx.Client(trust_env=False, verify=False, timeout=PATIENCE_S) as client:
        yield lambda server, path, **more: client.get(server.url + path, **more)


def test_ready_only_when_the_engine_is_open(running, fake_separator, get):
    separator, opened = fake_separator().separator, threading.Event()

    def opener():
        assert opened.wait(PATIENCE_S)
        return separator

    server = running(opener, wait=False)
    assert get(server, "/healthz").json() == {"status": "alive"}
    for path in ("/readyz", "/model"):
        answer = get(server, path)
        assert answer.status_code == 503
        assert answer.json()["error"]["type"] == "NotReady"
        assert int(answer.headers["retry-after"]) > 0
    assert httpx.post(server.url + "/separate", trust_env=False, verify=False).status_code == 503
    assert samples(get(server, "/metrics"))["sgn_rt_ready", ()] == 0
    opened.set()
    wait_until(lambda: get(server, "/readyz").status_code == 200)
    assert samples(get(server, "/metrics"))["sgn_rt_ready", ()] == 1


def test_not_ready_until_the_parity_probe_has_passed(running, open_fakes, fake_engine, config, get):
    """The first engine is wrong, and the probe says so: the second is served."""
    wrong = fake_engine(config, "wrong", fault=lambda call, answer: answer._replace(
        sources=answer.sources * 1.5))  # fmt: skip
    with pytest.warns(ParityWarning):
        server = running(
            lambda: open_fakes({"wrong": wrong, "right": fake_engine(config, "right")})
        )
    assert get(server, "/model").json()["engine"] == "right"
    figures = samples(get(server, "/metrics"))
    assert figures["sgn_rt_engine_replacements_total", ()] == 1
    assert [labels for name, labels in figures if name == "sgn_rt_engine_info"] == [
        (("detail", "for tests"), ("model", "fake"), ("name", "right"))
    ]
    stages = {dict(labels)["stage"] for name, labels in figures if name == "sgn_rt_parity"}
    assert {"whole", "level", "decision"} <= stages


def test_an_engine_that_does_not_open_ends_the_server(running):
    def opener():
        raise EngineError("engine: got none, expected one. Install one.")

    server = running(opener, wait=False)
    server.join()
    assert isinstance(server.error, EngineError)


def test_the_model_and_its_limits(running, fake_separator, get):
    server = running(fake_separator().separator, max_upload=1000, max_streams=3)
    told = get(server, "/model").json()
    assert told["name"] == "fake"
    assert told["categories"] == ["bell", "drum", "horn"]
    assert told["sample_rate"] == 8000
    assert told["least_latency_s"] > 0
    assert told["limits"]["max_bytes"] == 1000
    assert told["limits"]["max_streams"] == 3


def samples(answer: httpx.Response) -> dict:
    """Figures by name and labels, as Prometheus reads them."""
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_figures(serving, get, wav):
    fake, server = serving()
    for code, query in ((200, ""), (200, ""), (400, "color=red")):
        path = f"/separate?{query}"
        assert (
            httpx.post(server.url + path, content=wav(), trust_env=False, verify=False).status_code
            == code
        )
    get(server, "/some/path")
    wait_until(lambda: server.server.separate.desk.taken == 0)
    got = samples(get(server, "/metrics"))
    windows = got["sgn_rt_windows_total", (("engine", "fake"), ("source", "recording"))]
    assert windows == fake.engine.calls > 0
    assert got["sgn_rt_sound_seconds_total", ()] == pytest.approx(1.0)
    assert got["sgn_rt_real_time_factor_count", ()] == 2
    for code, count in (("200", 2), ("400", 1)):
        labels = (("code", code), ("route", "/separate"))
        assert got["sgn_rt_http_requests_total", labels] == count
    assert got["sgn_rt_http_requests_total", (("code", "404"), ("route", "other"))] == 1
    assert got["sgn_rt_http_request_duration_seconds_count", (("route", "/separate"),)] == 3
    assert got["sgn_rt_recordings", ()] == 0
    assert got["sgn_rt_streams", ()] == 0
    openmetrics = get(server, "/metrics", headers={"Accept": "application/openmetrics-text"})
    assert openmetrics.text.endswith("# EOF\n")


@pytest.fixture
def document(running, fake_separator, get):
    return get(running(fake_separator().separator), "/openapi.json").json()


def test_the_description_is_openapi(document):
    OpenAPIV31SpecValidator(document).validate()
    assert "/stream" in document["info"]["description"]


def test_the_description_knows_every_parameter(document):
    listed = document["paths"]["/separate"]["post"]["parameters"]
    assert [each["name"] for each in listed] == list(PARAMETERS)


def test_what_is_described_is_there(running, fake_separator, document, get):
    server = running(fake_separator().separator)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answer = httpx.request(method, server.url + path, trust_env=False, verify=False)
            assert str(answer.status_code) in operation["responses"], path
            assert answer.status_code not in (404, 405)


@pytest.fixture(scope="module")
def exporter():
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)  # takes one, once
    return exporter


def test_spans_where_opentelemetry_is_installed(serving, exporter, wav, noise):
    """Of a request, a child of its client's; of a stream; of each call of the engine for it."""
    _, server = serving()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    exporter.clear()
    httpx.post(server.url + "/separate", content=wav(), trust_env=False, verify=False,
               headers={"traceparent": parent})  # fmt: skip
    wait_until(exporter.get_finished_spans)
    (span,) = exporter.get_finished_spans()
    assert span.name == "sgn_rt.separate"
    assert f"{span.context.trace_id:032x}" == parent.split("-")[1]
    exporter.clear()
    with connect(server.ws_url, proxy=None) as websocket:
        websocket.send('{"type": "start", "sample_rate": 8000}')
        websocket.send(noise(1, 4000).T.tobytes())
        websocket.send('{"type": "end"}')
        for _ in websocket:
            pass
    named = lambda name: [  # noqa: E731
        span for span in exporter.get_finished_spans() if span.name == name
    ]
    wait_until(lambda: named("sgn_rt.stream"))
    batches = named("sgn_rt.engine.batch")
    windows = server.server.backend.opened[1].stats().windows
    assert sum(span.attributes["sgn_rt.windows"] for span in batches) == windows > 0
    assert all(span.start_time <= span.end_time for span in batches)


def test_no_spans_where_it_is_not(monkeypatch, running, fake_separator, wav):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    tracing._api.cache_clear()
    try:
        server = running(fake_separator().separator)
        answer = httpx.post(server.url + "/separate", content=wav(), trust_env=False, verify=False)
        assert answer.status_code == 200
        assert tracing._api() is None
    finally:
        tracing._api.cache_clear()


def test_figures_of_live_streams(serving, get, noise):
    _, server = serving()
    with connect(server.ws_url, proxy=None) as websocket:
        websocket.send('{"type": "start", "sample_rate": 8000, "latency_s": 0.3}')
        websocket.recv()
        got = samples(get(server, "/metrics"))
        assert got["sgn_rt_streams", ()] == 1
        websocket.send(noise(1, 4000).T.tobytes())
        websocket.send('{"type": "end"}')
        for _ in websocket:
            pass
    wait_until(lambda: server.server.backend.opened[1].stats().streams == 0)
    got = samples(get(server, "/metrics"))
    windows = server.server.backend.opened[1].stats().windows
    assert got["sgn_rt_windows_total", (("engine", "fake"), ("source", "stream"))] == windows > 0
    assert got["sgn_rt_batch_windows_sum", ()] == windows
    assert got["sgn_rt_window_queue_seconds_count", ()] == windows
    assert got["sgn_rt_batch_compute_seconds_count", ()] == got["sgn_rt_batch_windows_count", ()]
    kinds = {dict(labels)["kind"] for name, labels in got if name == "sgn_rt_overload_total"}
    assert {"refused", "raised", "longer-step", "pass-through", "too-many-streams"} <= kinds
    assert got["sgn_rt_http_requests_total", (("code", "101"), ("route", "/stream"))] == 1
