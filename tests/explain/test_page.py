"""The page holds all that it needs, and what it holds is what was heard."""

import base64
import html
import io
import json
import re

import numpy as np
import pytest
import soundfile

from sgn_rt.explain.arrays import as_npz
from sgn_rt.explain.page import as_page
from sgn_rt.explain.pictures import pictures


def data_of(page: str) -> dict:
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text[1])


def test_nothing_is_asked_of_a_network(explanation):
    page = as_page(explanation())
    assert "default-src 'none'" in page
    assert not re.search(r"<(link|script|img|iframe)[^>]+(src|href)=.(?!data:)", page)
    for address in re.findall(r"https?://[^\s\"'`]+", page):
        assert address == "http://www.w3.org/2000/svg"
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|import)\s*\(", page)


def test_names_are_no_markup(explanation):
    title = "</script><b>&.wav"
    page = as_page(explanation(title=title))
    assert "<b>" not in page
    assert html.escape(title) in page


def test_planes_and_presence_are_those_heard(explanation):
    explained = explanation()
    hearing, data = explained.hearing, data_of(as_page(explained))
    assert data["names"] == ["bell", "horn"]
    np.testing.assert_allclose(data["presence"], hearing.presence[:, [0, 2]].T, atol=1e-4)
    mask = data["masks"][0]
    found = np.frombuffer(base64.b64decode(mask["bytes"]), np.uint8)
    found = found.reshape(mask["rows"], mask["columns"]) / 255
    np.testing.assert_allclose(found, hearing.masks[0].astype(float), atol=0.003)
    loudest = np.frombuffer(base64.b64decode(data["spectrogram"]["bytes"]), np.uint8)
    assert loudest.max() == 255


def test_a_long_recording_has_no_more_columns_than_a_screen(explanation, monkeypatch):
    monkeypatch.setattr("sgn_rt.explain.page.COLUMNS", 100)
    data = data_of(as_page(explanation()))
    for plane in (data["spectrogram"], *data["masks"], *data["claims"]):
        assert 50 < plane["columns"] <= 100


@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_sound_is_that_of_the_sources_and_never_clipped(explanation, signal, gain):
    sources = {"bell": signal * gain, "residual": -signal * gain}
    data = data_of(as_page(explanation(sources=sources)))
    scale = max(1.0, float(np.abs(signal).max()) * gain)
    for sound, source in zip(data["sounds"], sources.values(), strict=True):
        played, rate = soundfile.read(io.BytesIO(base64.b64decode(sound["flac"])), dtype="float32")
        assert rate == 8000
        np.testing.assert_allclose(played, source / scale, atol=2**-15)


def test_figures_of_clusters_are_told_by_category_and_by_truth(explanation):
    explained = explanation(labels=frozenset({"bell"}))
    page = as_page(explained)
    assert f"by category: silhouette {explained.clusters.silhouette:.2f}" in page
    assert f"one label: silhouette {explained.true_clusters.silhouette:.2f}" in page
    assert "by category: no figure" in as_page(explanation(shown=[1]))


def test_every_picture_is_drawn(explanation):
    for shown in ([0, 2], [1]):
        drawn = pictures(explanation(shown=shown, labels=frozenset({"bell"})))
        assert set(drawn) == {"presence.png", "similarity.png", "map.png", "claims.png",
                              "masks.png", "rests-on.png"}  # fmt: skip
        assert all(picture.startswith(b"\x89PNG") for picture in drawn.values())


def test_arrays_are_read_without_pickles(explanation, signal):
    explained = explanation(labels=frozenset({"bell"}), stems={"bell": signal})
    with np.load(io.BytesIO(as_npz(explained)), allow_pickle=False) as file:
        arrays = dict(file)
    assert arrays["categories"].tolist() == ["bell", "drum", "horn"]
    assert arrays["embedding"].shape == (len(arrays["window_start_s"]), 3, 16)
    np.testing.assert_array_equal(arrays["masks"], explained.hearing.masks)
    assert arrays["taken_from"].tolist() == [[1.0], [1.0]]
    assert arrays["source_names"].tolist() == ["bell", "horn", "residual"]
