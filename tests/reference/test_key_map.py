"""Checkpoints of other training code, through a key map."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from sgn_rt.errors import CheckpointError  # noqa: E402
from sgn_rt.model.safetensors_file import write  # noqa: E402
from sgn_rt.reference import load, random_model, save_checkpoint  # noqa: E402
from sgn_rt.reference.key_map import read_key_map  # noqa: E402

RULES = r"""
format = "sgn-key-map/1"
drop = ['optimizer\..*']
[[rename]]
pattern = 'net\.down(\d)\.(.*)'
replace = 'encoder.\1.\2'
[[rename]]
pattern = 'net\.(?P<rest>.*)'
replace = '\g<rest>'
"""


def toml_config(config) -> str:
    """The configuration as a TOML table; JSON's scalars and lists of them are TOML's."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in config.to_dict().items()]
    return "\n".join(["[config]", *lines])


def foreign_tensors(model) -> dict[str, torch.Tensor]:
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensors["net." + name.replace("encoder.", "down")] = tensor
    return tensors | {"optimizer.step": torch.ones(1)}


@pytest.fixture
def small(small_config):
    return random_model(small_config(), seed=5)


@pytest.fixture
def key_map(tmp_path, small):
    path = tmp_path / "map.toml"
    path.write_text(RULES + toml_config(small.config))
    return path


def assert_same(model, small):
    assert model.config == small.config
    for name, tensor in small.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_safetensors_without_configuration(small, key_map, tmp_path):
    path = tmp_path / "foreign.safetensors"
    arrays = {
        name: tensor.numpy()
        for name, tensor in foreign_tensors(small).items()
        if tensor.is_floating_point()
    }
    write(path, arrays, {})
    assert_same(load(path, key_map), small)
    with pytest.raises(CheckpointError, match="no metadata 'sgn_config'"):
        load(path)


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_pickle_with_nested_state_dict(small, key_map, tmp_path, suffix):
    path = tmp_path / f"foreign{suffix}"
    torch.save({"epoch": 3, "model": {"weights": foreign_tensors(small)}}, path)
    key_map.write_text('state_dict = "model.weights"\n' + key_map.read_text())
    assert_same(load(path, key_map), small)


def test_pickle_needs_a_key_map(small, tmp_path):
    path = tmp_path / "foreign.pt"
    torch.save(small.state_dict(), path)
    with pytest.raises(CheckpointError, match="Give a key map"):
        load(path)


class Payload:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (eval, ("__import__('builtins').print('ran')",))


def test_pickle_never_runs_code(key_map, tmp_path, capsys):
    path = tmp_path / "evil.pt"
    torch.save({"weights": Payload()}, path)
    with pytest.raises(CheckpointError, match="cannot load as plain weights"):
        load(path, key_map)
    assert "ran" not in capsys.readouterr().out


def test_pickle_with_other_contents(small, key_map, tmp_path):
    path = tmp_path / "foreign.pt"
    torch.save({"epoch": 3, "weights": foreign_tensors(small)}, path)
    with pytest.raises(CheckpointError, match=r"\['epoch', 'weights'\].*state_dict in the key map"):
        load(path, key_map)
    key_map.write_text('state_dict = "model"\n' + key_map.read_text())
    with pytest.raises(CheckpointError, match=r"\['epoch', 'weights'\].*'model'"):
        load(path, key_map)


def test_two_configurations_must_agree(small, key_map, small_config, tmp_path):
    path = tmp_path / "own.safetensors"
    save_checkpoint(small, small.config, path)
    key_map.write_text('format = "sgn-key-map/1"\n' + toml_config(small.config))
    assert_same(load(path, key_map), small)
    key_map.write_text('format = "sgn-key-map/1"\n' + toml_config(small_config(sample_rate=9000)))
    with pytest.raises(CheckpointError, match="one configuration in the file and another"):
        load(path, key_map)


BAD_MAPS = {
    "no format": ("drop = []", "got None, expected 'sgn-key-map/1'"),
    "no TOML": ("format = ", "expected a TOML file"),
    "unknown key": ('format = "sgn-key-map/1"\nrenames = []', r"\['renames'\]"),
    "bad pattern": (RULES.replace(r"down(\d)", r"down(\d"), "rename rule 1"),
    "bad group": (RULES.replace(r"encoder.\1.\2", r"encoder.\1.\7"), "rename rule 1.*invalid"),
    "unknown name": (RULES.replace(r"\g<rest>", r"\g<other>"), "rename rule 2.*other"),
    "bad drop": (RULES.replace(r"'optimizer\..*'", "'*'"), "drop 1"),
    "drop no list": (RULES.replace(r"['optimizer\..*']", "'a'"), "lists"),
    "half a rule": (RULES + "[[rename]]\npattern = 'a'", "rename rule 3"),
    "replace no text": (RULES + "[[rename]]\npattern = 'a'\nreplace = 1", "rename rule 3"),
    "state_dict": ('format = "sgn-key-map/1"\nstate_dict = 3', "keys joined by dots"),
    "config": ('format = "sgn-key-map/1"\n[config]\nformat = "x"', "config.*format: got 'x'"),
}


@pytest.mark.parametrize("name", BAD_MAPS)
def test_bad_maps_are_refused(tmp_path, name):
    text, part = BAD_MAPS[name]
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=f"(?s)key map.*{part}"):
        read_key_map(path)


def test_missing_map(tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        read_key_map(tmp_path / "none.toml")


def test_collisions_and_idle_rules(tmp_path):
    path = tmp_path / "map.toml"
    path.write_text(RULES)
    key_map = read_key_map(path)
    names = ["net.down0.conv.weight", "net.a", "optimizer.x", "plain"]
    assert key_map.apply(names) == {
        "net.down0.conv.weight": "encoder.0.conv.weight", "net.a": "a", "plain": "plain",
    }  # fmt: skip
    with pytest.raises(CheckpointError, match=r"\{'a': \['net.a', 'a'\]\}"):
        key_map.apply([*names, "a"])
    with pytest.raises(CheckpointError, match=r"\['optimizer.*expected every one to match"):
        key_map.apply(names[:2])
