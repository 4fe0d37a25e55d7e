"""A network that says what can be worked out by hand, and an explanation of its."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sgn_rt._types import Signals
from sgn_rt.explain.axes import token_grid
from sgn_rt.explain.explanation import Explanation
from sgn_rt.explain.hearing import listen
from sgn_rt.explain.occlusion import occlude
from sgn_rt.model.config import ModelConfig


class FakeNetwork:
    """Category c is as present as the c-th third of the frequency axis is loud."""

    detail = "for tests"

    def __init__(self, config) -> None:
        self.config = config
        self.calls = 0

    def signals(self, log_magnitude: np.ndarray) -> Signals:
        self.calls += 1
        count = len(self.config.categories)
        parts = np.array_split(log_magnitude, count, axis=0)
        loud = np.array([float(np.exp(part).mean()) for part in parts])
        presence = (loud / loud.sum()).astype(np.float32)
        embedding = np.eye(count, self.config.embedding_dim, dtype=np.float32) + presence[:, None]
        rows, columns = token_grid(self.config)
        claims = np.zeros((count, rows, columns), np.float32)
        for category, place in enumerate(np.array_split(np.arange(rows), count)):
            claims[category, place] = 1.0
        shares = claims.reshape(count, -1)
        return Signals(presence, embedding, shares / (shares.sum(1, keepdims=True) + 1))

    def masks(self, log_magnitude, categories):
        count = len(self.config.categories)
        out = np.full((len(categories), *log_magnitude.shape), 0.1, np.float32)
        for row, category in enumerate(categories):
            place = np.array_split(np.arange(len(log_magnitude)), count)[category]
            out[row, place] = 0.9
        return out


@pytest.fixture
def config(small_config) -> ModelConfig:
    """Windows of a quarter of a second, in which tones can be told apart."""
    return small_config(hop_length=16)


@pytest.fixture
def network(config) -> FakeNetwork:
    return FakeNetwork(config)


@pytest.fixture
def signal(config) -> np.ndarray:
    """Two seconds and a bit: a tone of 300 Hz, from the first second on one of 3 kHz, too."""
    time = np.arange(int(2.1 * config.sample_rate)) / config.sample_rate
    low = 0.3 * np.sin(2 * np.pi * 300 * time)
    high = 0.3 * np.sin(2 * np.pi * 3000 * time) * (time > 1)
    return (low + high).astype(np.float32)


@pytest.fixture
def explanation(config, network, signal) -> Callable[..., Explanation]:
    """Of the signal by the fake network; keywords change what is told of it."""

    def make(**changes: Any) -> Explanation:
        def quiet(done: float) -> None:
            assert 0 <= done <= 1

        shown = changes.pop("shown", [0, 2])
        hearing = listen(network, config, signal, wanted=lambda presence: shown, tell=quiet)
        found = occlude(
            network, config, signal, hearing.windows, hearing.presence, tuple(shown), quiet
        )
        values = {
            "title": "tone.wav",
            "model": "fake",
            "network": network.detail,
            "hearing": hearing,
            "thresholds": np.full(3, 0.5, np.float32),
            "mixture": signal,
            "sources": dict.fromkeys([*hearing.names, "residual"], signal / 2),
            "gain_db": 0.0,
            "present": frozenset({"bell"}),
            "occlusions": tuple(found),
            "labels": None,
            "stems": {},
        }
        return Explanation(**(values | changes))

    return make
