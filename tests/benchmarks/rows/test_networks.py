"""Bundles with random weights."""

from __future__ import annotations

import math

import pytest

from sgn_rt.benchmarks.rows import networks
from sgn_rt.benchmarks.rows.subjects import gather
from sgn_rt.errors import ConfigError
from sgn_rt.model.bundle import Bundle

pytest.importorskip("torch")


@pytest.fixture
def asked(monkeypatch):
    """What is to be written; the exporter takes most of a minute for the real sizes."""
    calls = []
    monkeypatch.setattr(
        networks, "write_random",
        lambda config, folder, **options: calls.append((config, options)) or "bundle",
    )  # fmt: skip
    return calls


def test_paper_scale_is_the_papers(asked, tmp_path):
    from sgn_rt.reference.checkpoint import expected_tensors

    assert networks.paper_scale(tmp_path) == "bundle"
    ((config, _),) = asked
    published = Bundle.open().config
    parameters = sum(math.prod(shape) for shape in expected_tensors(config).values())
    assert parameters == pytest.approx(53e6, rel=0.01)
    assert config.encoder_channels == (64, 128, 256, 512, 512, 512, 512)
    assert (config.mask_basis, config.embedding_dim, config.transformer_depth) == (32, 512, 3)
    for same in ("sample_rate", "n_fft", "frames", "log_epsilon", "categories"):
        assert getattr(config, same) == getattr(published, same)


def test_many_categories_differ_in_nothing_else(asked, tmp_path):
    networks.many_categories(tmp_path, 300)
    ((config, _),) = asked
    published = Bundle.open().config
    assert len(set(config.categories)) == 300
    assert config.encoder_channels == published.encoder_channels
    with pytest.raises(ConfigError, match="got 0"):
        networks.many_categories(tmp_path, 0)


def test_what_is_written_is_a_bundle_whose_engine_holds_parity(small, graphs):
    (subject,) = gather(["onnxruntime"], small, 1, graphs, network="paper-scale")
    assert subject.failure is None
    assert subject.row.network == "paper-scale"
    assert subject.row.kind == "engine"
    subject.engine.close()
