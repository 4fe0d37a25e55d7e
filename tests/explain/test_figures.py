"""Figures against what is worked out by hand."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt.explain import figures
from sgn_rt.explain.figures import clusters, flat_maps, overlap, similarity, taken_from


def test_similarity_is_the_mean_cosine():
    embedding = np.array([[[2, 0], [0, 3]], [[1, 0], [5, 5]]], np.float32)
    found = similarity(embedding)
    assert found[0, 0] == found[1, 1] == pytest.approx(1)
    assert found[0, 1] == found[1, 0] == pytest.approx((0 + 0.5**0.5) / 2)


def test_overlap_is_of_the_power_let_through():
    masks = np.array([[[1.0, 0.0]], [[0.5, 1.0]]], np.float16)
    power = np.array([[4.0, 1.0]], np.float32)
    # Squared: 1 and 0 against 0.25 and 1. Shared: 0.25 * 4 of 4, and of 0.25 * 4 + 1.
    np.testing.assert_allclose(overlap(masks, power), [[1, 0.25], [0.5, 1]])


def test_overlap_of_a_mask_that_lets_nothing_through_is_nothing():
    masks = np.array([[[0.0]], [[1.0]]], np.float16)
    np.testing.assert_array_equal(overlap(masks, np.ones((1, 1), np.float32)), [[0, 0], [0, 1]])


def test_what_masks_take_is_told_apart_by_stem():
    masks = np.array([[[1.0, 0.5]], [[0.0, 0.0]]], np.float16)
    stems = np.array([[[3.0, 0.0]], [[0.0, 4.0]]], np.float32)
    np.testing.assert_allclose(taken_from(masks, stems), [[0.75, 0.25], [0, 0]])


def test_silhouette_and_nearest_by_hand():
    # Directions: two points of each label at the same angle, the labels at a right angle.
    points = np.array([[1, 0], [2, 0], [0, 1], [0, 3]], np.float32)
    found = clusters(points, ["a", "a", "b", "b"])
    assert (found.silhouette, found.nearest) == (pytest.approx(1), 1)
    mixed = clusters(points, ["a", "b", "a", "b"])
    # Of each point: its own label at distance 1, the other at (0 + 1) / 2.
    assert mixed.silhouette == pytest.approx((0.5 - 1) / 1)
    assert mixed.nearest == 0


@pytest.mark.parametrize("labels", [["a", "a"], ["a", "b"]])
def test_no_figure_without_two_labels_and_more_points(labels):
    found = clusters(np.eye(2, dtype=np.float32), labels)
    assert found.silhouette is found.nearest is None
    assert found.points == 2


def test_the_map_by_pca_keeps_what_lies_in_a_plane(monkeypatch):
    monkeypatch.setattr(figures, "installed_version", lambda package: None)
    rng = np.random.default_rng(0)
    plane = rng.standard_normal((20, 2))
    points = (plane @ np.linalg.qr(rng.standard_normal((5, 2)))[0].T).astype(np.float32)
    (laid,) = flat_maps(points)
    assert laid.method == "pca"
    assert laid.kept == pytest.approx(1)
    distances = [np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (plane, laid.points)]
    np.testing.assert_allclose(*distances, atol=1e-5)
    assert flat_maps(points[:2]) == []


def test_umap_is_asked_where_it_is_installed(monkeypatch):
    asked = []

    class Umap:
        def __init__(self, **options):
            asked.append(options)

        def fit_transform(self, values):
            return values[:, :2]

    monkeypatch.setattr(figures, "installed_version", lambda package: "0.5")
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    points = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32)
    assert [laid.method for laid in flat_maps(points)] == ["pca", "umap"]
    assert asked[0]["metric"] == "cosine"
    assert [laid.method for laid in flat_maps(points[:15])] == ["pca"]


def test_the_nearest_is_looked_for_in_other_groups():
    points = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32)
    labels, groups = ["a", "b", "b", "a"], [0, 0, 1, 1]
    # Without groups each point is nearest to its neighbour, of the other label.
    assert clusters(points, labels).nearest == 0
    # (1, 0) sees (0.1, 1) nearer than (0, 1), and so on.
    assert clusters(points, labels, groups).nearest == 0.5
    assert clusters(points, labels, [0, 0, 0, 0]).nearest is None
