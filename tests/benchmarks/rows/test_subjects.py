"""What is timed is proved first, and what fails has no time."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.benchmarks.rows import plain
from sgn_rt.benchmarks.rows.subjects import gather, open_subject, prove
from sgn_rt.model.bundle import Bundle


@pytest.fixture(scope="module")
def bundle():
    return Bundle.open()


def wrong_masks(engine):
    """The engine with masks that are a little too large."""
    right = engine._mask
    engine._mask = lambda state, category: np.minimum(right(state, category) * np.float32(1.01), 1)
    return engine


def test_an_engine_within_its_limits_is_timed(bundle, tmp_path):
    pytest.importorskip("onnxruntime")
    engine = open_subject("onnxruntime", bundle, 1, tmp_path)
    subject = prove("onnxruntime", engine, bundle)
    assert subject.engine is engine
    assert subject.failure is None
    assert all(stage["passed"] for stage in subject.row.accuracy.values())


def test_an_engine_beyond_its_limits_has_no_time(bundle, tmp_path):
    pytest.importorskip("onnxruntime")
    engine = wrong_masks(open_subject("onnxruntime", bundle, 1, tmp_path))
    subject = prove("onnxruntime", engine, bundle)
    assert subject.engine is None
    assert subject.failure.startswith("parity: network: ")


def test_what_is_not_here_is_no_failure(bundle, tmp_path):
    found = gather(["nonesuch"], bundle, 1, tmp_path)
    assert found[0].absent
    assert "nonesuch" in found[0].failure


def test_the_plain_export_holds_parity(bundle, tmp_path):
    for module in ("torch", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module)
    (subject,) = gather([plain.NAME], bundle, 2, tmp_path)
    assert subject.failure is None
    chosen = np.array([5, 2])
    window = bundle.probe.mixture[:1]
    everything = subject.engine.separate(window, np.arange(len(bundle.config.categories)))
    two = subject.engine.separate(window, chosen)
    np.testing.assert_allclose(two.sources, everything.sources[:, chosen], atol=1e-6)
    assert subject.engine.separate(window, chosen[:0]).sources.shape[1] == 0
