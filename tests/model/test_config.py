"""Every constraint of a model's configuration, each with an error that names the key."""

from __future__ import annotations

import json
import math

import pytest

from sgn_rt.errors import ConfigError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.sgn_config import SgnConfig

CHANGES = {
    "odd n_fft": ({"n_fft": 255}, "n_fft", "an even number"),
    "tiny n_fft": ({"n_fft": 2}, "n_fft", "an even number"),
    "no hop": ({"hop_length": 0}, "hop_length", "an integer from 1"),
    "long hop": ({"hop_length": 128}, "hop_length", "at most n_fft / 2 = 127"),
    "short window": ({"n_fft": 30000}, "window_samples", "reflect padding"),
    "rate": ({"sample_rate": 0}, "sample_rate", "an integer"),
    "fractional rate": ({"sample_rate": 8000.5}, "sample_rate", "an integer"),
    "true": ({"mask_basis": True}, "mask_basis", "an integer"),
    "huge": ({"embedding_dim": 1 << 40}, "embedding_dim", "an integer"),
    "window": ({"window": "hamming"}, "window", "'hann'"),
    "log bins": ({"frequency_bins": 192}, "frequency_bins", "a multiple of 128"),
    "frames no multiple": (
        {"frames": 192, "window_samples": 191 * 64}, "frames", "a multiple of 128",
    ),
    "frames of another window": ({"frames": 256}, "frames", "= 128"),
    "epsilon": ({"log_epsilon": 0.0}, "log_epsilon", "between 0 and 1"),
    "epsilon nan": ({"log_epsilon": float("nan")}, "log_epsilon", "between 0 and 1"),
    "epsilon text": ({"log_epsilon": "1e-5"}, "log_epsilon", "between 0 and 1"),
    "six levels": ({"encoder_channels": [4] * 6}, "encoder_channels", "7 widths"),
    "no width": ({"encoder_channels": [4] * 6 + [0]}, "encoder_channels[6]", "an integer"),
    "no list": ({"encoder_channels": 7}, "encoder_channels", "a list"),
    "token level": ({"token_level": 7}, "token_level", "0 to 6"),
    "negative token level": ({"token_level": -1}, "token_level", "an integer from 0"),
    "heads": ({"attention_heads": 3}, "embedding_dim", "a multiple of attention_heads = 3"),
    "depth": ({"transformer_depth": -1}, "transformer_depth", "an integer from 0"),
    "no category": ({"categories": []}, "categories", "one or more"),
    "empty name": ({"categories": ["bell", ""]}, "categories", "non-empty"),
    "no name": ({"categories": ["bell", 3]}, "categories", "names"),
    "unhashable name": ({"categories": [["bell"]]}, "categories", "names"),
    "repeated name": ({"categories": ["bell", "horn", "bell"]}, "categories", "every name once"),
    "text": ({"categories": "bell"}, "categories", "a list"),
    "level alone": ({"training_level_dbfs": -20.0}, "training_level_dbfs", "a list"),
    "level null": ({"training_level_dbfs": None}, "training_level_dbfs", "a list"),
    "three levels": ({"training_level_dbfs": [-50.0, -20.0, 0.0]}, "training_level_dbfs", "two"),
    "levels swapped": ({"training_level_dbfs": [-10, -52.0]}, "training_level_dbfs", "low < high"),
    "levels equal": ({"training_level_dbfs": [-10, -10]}, "training_level_dbfs", "low < high"),
    "level nan": ({"training_level_dbfs": [float("nan"), 0.0]}, "training_level_dbfs", "finite"),
    "level infinite": ({"training_level_dbfs": [-1e999, 0.0]}, "training_level_dbfs", "finite"),
    "level huge": ({"training_level_dbfs": [0, 10**400]}, "training_level_dbfs", "finite"),
    "level text": ({"training_level_dbfs": ["-52", "-10"]}, "training_level_dbfs", "finite"),
    "level true": ({"training_level_dbfs": [False, True]}, "training_level_dbfs", "finite"),
    "threshold alone": ({"presence_thresholds": 0.5}, "presence_thresholds", "a list"),
    "few thresholds": ({"presence_thresholds": [0.5, 0.5]}, "presence_thresholds", "3 numbers"),
    "threshold 0": ({"presence_thresholds": [0, 0.5, 0.5]}, "presence_thresholds", "between"),
    "threshold 1": ({"presence_thresholds": [1, 0.5, 0.5]}, "presence_thresholds", "between"),
    "threshold nan": ({"presence_thresholds": [math.nan] * 3}, "presence_thresholds", "between"),
    "threshold text": ({"presence_thresholds": ["a"] * 3}, "presence_thresholds", "between"),
    "format": ({"format": "sgn-checkpoint/2"}, "format", "'sgn-checkpoint/1'"),
    "unknown key": ({"dropout": 0.1}, "['dropout']", "only"),
}  # fmt: skip


OPTIONAL = {"training_level_dbfs", "presence_thresholds"}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_network_cannot_have(small_config, fails, name):
    change, key, part = CHANGES[name]
    values = small_config().to_dict() | change
    with fails(ConfigError, key, part):
        ModelConfig.from_dict(values)


@pytest.mark.parametrize("key", sorted(set(SgnConfig.keys()) - OPTIONAL))
def test_no_key_may_be_missing(small_config, fails, key):
    values = small_config().to_dict()
    del values[key]
    with fails(ConfigError, f"['{key}']"):
        ModelConfig.from_dict(values)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null"])
def test_text_that_is_no_configuration(fails, text):
    with fails(ConfigError, "model configuration"):
        ModelConfig.from_json(text)


def test_round_trip(small_config):
    config = small_config(hop_length=60, window_samples=127 * 60 + 59)
    assert ModelConfig.from_json(json.dumps(config.to_dict())) == config


def test_a_level_that_nobody_states_is_not_written(small_config):
    """A file of before the key was known is the same file after it."""
    values = small_config().to_dict()
    assert ModelConfig.from_dict(values).training_level_dbfs is None
    assert not OPTIONAL & values.keys()


def test_a_stated_level(small_config):
    text = json.dumps(small_config().to_dict() | {"training_level_dbfs": [-52, -10.5]})
    config = ModelConfig.from_json(text)
    assert config.training_level_dbfs == (-52.0, -10.5)
    again = json.dumps(config.to_dict())
    assert again.endswith('"training_level_dbfs": [-52.0, -10.5]}')
    assert ModelConfig.from_json(again) == config


def test_stated_thresholds(small_config):
    text = json.dumps(small_config().to_dict() | {"presence_thresholds": [0.25, 0.5, 0.75]})
    config = ModelConfig.from_json(text)
    assert config.presence_thresholds == (0.25, 0.5, 0.75)
    assert ModelConfig.from_json(json.dumps(config.to_dict())) == config
    assert ModelConfig.from_dict(small_config().to_dict()).presence_thresholds is None


def test_an_integer_will_do_for_a_number(small_config):
    values = small_config().to_dict()
    values["log_epsilon"] = 1  # an integer in range there is not: the message is about the range
    with pytest.raises(ConfigError, match=r"got 1\.0"):
        ModelConfig.from_dict(values)


def test_derived_sizes(small_config):
    config = small_config(n_fft=1022, hop_length=256, frames=256, frequency_bins=256, token_level=3)
    assert (config.bins, config.tokens) == (512, 256)
    assert config.window_s == pytest.approx(255 * 256 / 8000)
