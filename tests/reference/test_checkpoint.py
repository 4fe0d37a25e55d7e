"""Checkpoint files: what loads, what is refused, and how the refusal reads."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sgn_rt.errors import CheckpointError  # noqa: E402
from sgn_rt.model.safetensors_file import read_bytes, read_header, write  # noqa: E402
from sgn_rt.reference import (  # noqa: E402
    PAPER,
    load,
    random_model,
    read_checkpoint,
    save_checkpoint,
)
from sgn_rt.reference.checkpoint import expected_tensors  # noqa: E402


@pytest.fixture
def small(small_config):
    return random_model(small_config(), seed=3)


@pytest.fixture
def saved(small, tmp_path):
    path = tmp_path / "small.safetensors"
    save_checkpoint(small, small.config, path, half=True)
    return path


def with_header(path, change) -> None:
    """Rewrite the JSON header of a file through ``change``."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


def test_load_is_ready_for_inference(instruments):
    assert not instruments.training
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in instruments.parameters())
    assert all(not p.is_meta for p in [*instruments.parameters(), *instruments.buffers()])


def test_load_leaves_the_random_state(saved):
    before = torch.get_rng_state()
    load(saved)
    assert torch.equal(before, torch.get_rng_state())


def test_round_trip(small, saved, tmp_path):
    again = tmp_path / "again.safetensors"
    loaded = load(saved)
    save_checkpoint(loaded, loaded.config, again, half=True)
    assert loaded.config == small.config
    assert again.read_bytes() == saved.read_bytes()


def test_save_loses_no_digit_unless_asked(small, tmp_path):
    path = tmp_path / "wide.safetensors"
    save_checkpoint(small, small.config, path)
    for name, tensor in load(path).state_dict().items():
        assert torch.equal(tensor, small.state_dict()[name]), name


def test_save_keeps_the_precision_of_every_tensor(saved, tmp_path):
    """What was read is what is written: float16 as float16, float32 as float32."""
    config, tensors = read_checkpoint(saved)
    again = tmp_path / "again.safetensors"
    save_checkpoint(tensors, config, again)
    assert again.read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_floats_are_saved_as_the_network_computes(small, tmp_path, dtype):
    tensors = {name: tensor.to(dtype) for name, tensor in small.state_dict().items()}
    path = tmp_path / "other.safetensors"
    save_checkpoint(tensors, small.config, path)
    assert {entry.dtype for entry in read_header(path).tensors.values()} == {"F32"}
    _, stored = read_checkpoint(path)
    assert all(torch.equal(tensor, tensors[name].float()) for name, tensor in stored.items())


def test_the_safetensors_package_reads_what_is_written(saved):
    package = pytest.importorskip("safetensors")
    with package.safe_open(saved, "np") as file:
        assert file.metadata().keys() == {"sgn_config"}
        header = read_header(saved)
        assert set(file.keys()) == header.tensors.keys()
        for name, entry in header.tensors.items():
            assert file.get_tensor(name).tobytes() == read_bytes(saved, entry)


def test_half_precision_keeps_variances_wide(saved):
    types = {name: entry.dtype for name, entry in read_header(saved).tensors.items()}
    assert {t for name, t in types.items() if name.endswith("running_var")} == {"F32"}
    assert {t for name, t in types.items() if not name.endswith("running_var")} == {"F16"}


def test_save_refuses_what_half_precision_cannot_hold(small, tmp_path):
    tensors = dict(small.state_dict())
    tensors["presence_head.bias"] = torch.tensor([1e5])
    with pytest.raises(CheckpointError, match=r"presence_head.bias: .*65504.*half=False"):
        save_checkpoint(tensors, small.config, tmp_path / "x.safetensors", half=True)


def test_every_wrong_tensor_is_named_at_once(small, tmp_path):
    _, tensors = read_checkpoint_of(small, tmp_path)
    del tensors["token_norm.bias"]
    tensors["extra.weight"] = torch.zeros(2)
    tensors["presence_head.bias"] = torch.zeros(2)
    tensors["mask_guide.down.bias"] = torch.full((5,), torch.nan)
    tensors["decoder.2.norm.running_var"] = -tensors["decoder.2.norm.running_var"]
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    path = tmp_path / "wrong.safetensors"
    write(path, arrays, {"sgn_config": json.dumps(small.config.to_dict())})
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    for part in (
        "got 5 that do not fit", "missing token_norm.bias [16]", "unexpected extra.weight",
        "presence_head.bias [2], not [1]", "mask_guide.down.bias holds a value that is not finite",
        "decoder.2.norm.running_var holds a negative variance",
    ):  # fmt: skip
        assert part in message


def read_checkpoint_of(model, folder):
    path = folder / "own.safetensors"
    save_checkpoint(model, model.config, path, half=True)
    return read_checkpoint(path)


DAMAGES = {
    "missing": (lambda p: p.unlink(), "No such file"),
    "empty": (lambda p: p.write_bytes(b""), "0 bytes that announce"),
    "short header": (lambda p: p.write_bytes(p.read_bytes()[:100]), "expected the whole header"),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "where its tensors end"),
    "longer": (lambda p: p.write_bytes(p.read_bytes() + b"x"), "where its tensors end"),
    "other file": (lambda p: p.write_bytes(b"PK\x03\x04" * 50), "expected the whole header"),
    "not JSON": (lambda p: p.write_bytes(struct.pack("<Q", 4) + b"{..}"), "not JSON"),
    "no object": (lambda p: p.write_bytes(struct.pack("<Q", 2) + b"[]"), "a list"),
    "twice": (
        lambda p: p.write_bytes(struct.pack("<Q", 14) + b'{"a":{},"a":1}'),
        "a key stands twice",
    ),
    "no config": (
        lambda p: with_header(p, lambda h: h["__metadata__"].pop("sgn_config")),
        "no metadata 'sgn_config'",
    ),
    "config no JSON": (
        lambda p: with_header(p, lambda h: h["__metadata__"].update(sgn_config="x")),
        "not JSON",
    ),
    "metadata numbers": (
        lambda p: with_header(p, lambda h: h["__metadata__"].update(n=1)),
        "an object of texts",
    ),
    "overlap": (
        lambda p: with_header(p, lambda h: h["token_norm.bias"].update(data_offsets=[0, 32])),
        "expected byte",
    ),
    "wrong size": (
        lambda p: with_header(p, lambda h: h["token_norm.bias"].update(shape=[17])),
        "34 by its shape",
    ),
    "negative shape": (
        lambda p: with_header(p, lambda h: h["token_norm.bias"].update(shape=[-1, -16])),
        "whole numbers",
    ),
    "unknown type": (
        lambda p: with_header(p, lambda h: h["token_norm.bias"].update(dtype="F12")),
        "'F12'",
    ),
    "integers": (
        lambda p: with_header(p, lambda h: h["token_norm.bias"].update(dtype="I16")),
        "types {'token_norm.bias': 'I16'}",
    ),
    "entry": (lambda p: with_header(p, lambda h: h.update({"a": 3})), "without dtype"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused(saved, damage):
    act, part = DAMAGES[damage]
    act(saved)
    with pytest.raises(CheckpointError) as caught:
        load(saved)
    assert str(saved) in str(caught.value)
    assert part in str(caught.value)


def test_training_counters_are_ignored(saved):
    raw = np.zeros(1, np.int64).tobytes()
    data = saved.read_bytes()
    end = len(data) - 8 - struct.unpack("<Q", data[:8])[0]
    saved.write_bytes(data + raw)
    entry = {"dtype": "I64", "shape": [1], "data_offsets": [end, end + 8]}
    with_header(saved, lambda h: h.update({"input_norm.num_batches_tracked": entry}))
    load(saved)


def test_random_model_is_deterministic(small, small_config):
    same, other = random_model(small_config(), seed=3), random_model(small_config(), seed=4)
    for name, tensor in small.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name]), name
    assert not torch.equal(small.class_tokens, other.class_tokens)


@torch.inference_mode()
def test_random_model_is_not_trivial(small):
    # Flat or saturated masks would let a wrong graph pass for a right one.
    noise = torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    masks, _, _ = small.masks(3.0 * noise - 5.0, torch.arange(3))
    assert 0.05 < masks.std() < 0.45
    assert 0.2 < masks.mean() < 0.8


def test_paper_preset_has_the_papers_size():
    sizes = [torch.Size(shape).numel() for shape in expected_tensors(PAPER).values()]
    assert 52e6 < sum(sizes) < 54e6
