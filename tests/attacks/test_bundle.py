"""A hostile or broken bundle: one clear line, no hang, no more memory than a right one takes."""

from __future__ import annotations

import io
import json
import os
import tracemalloc
import zipfile
from dataclasses import fields

import numpy as np
import pytest

from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import BundleError, CheckpointError, ConfigError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import BUNDLE_MANIFEST, BUNDLE_PROBE
from sgn_rt.model.probe import Probe
from sgn_rt.model.safetensors_file import read_header

posix = pytest.mark.skipif(os.name != "posix", reason="no such files on this system")
WITHOUT_END = "9" * 4000


def device(path):
    path.symlink_to("/dev/zero")


def looped(path):
    path.symlink_to(path)


KINDS = {"pipe": os.mkfifo if hasattr(os, "mkfifo") else None, "device": device, "loop": looped,
         "folder": lambda path: path.mkdir()}  # fmt: skip


@posix
@pytest.mark.parametrize("name", [BUNDLE_MANIFEST, BUNDLE_PROBE, "core.fp32.onnx"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_hangs_on_what_is_no_file(bundle_folder, fails, name, kind):
    path = bundle_folder / name
    path.unlink()
    KINDS[kind](path)
    with fails(BundleError, name):
        Bundle.open(bundle_folder)


@posix
def test_what_lies_outside_is_not_even_opened(bundle_folder, fails, monkeypatch):
    """A link is looked at before it is followed: opening alone can do things (pipes, devices)."""
    path = bundle_folder / BUNDLE_PROBE
    path.unlink()
    outside = bundle_folder.parent / "outside"
    os.mkfifo(outside)
    path.symlink_to(outside)
    opened = []
    real = os.open

    def watched(path, *more):
        opened.append(str(path))
        return real(path, *more)

    monkeypatch.setattr(os, "open", watched)
    with fails(BundleError, f"got a link to {outside.resolve()}"):
        Bundle.open(bundle_folder)
    assert str(outside.resolve()) not in opened


def test_a_file_listed_as_external_many_times(bundle_folder, edit_manifest, fails):
    """150 times a checkpoint would be 150 copies in memory."""
    edit_manifest(
        bundle_folder,
        lambda m: m["artifacts"][0].update(external=["checkpoint.safetensors"] * 150),
    )
    with fails(BundleError, "external", "expected each file once"):
        Bundle.open(bundle_folder)


CONFIGS = {
    "endless epsilon": {"log_epsilon": 10**400},
    "infinite epsilon": {"log_epsilon": float("inf")},
    "endless size": {"n_fft": int(WITHOUT_END)},
    "infinite size": {"frames": float("inf")},
    "half a character": {"categories": ["bell", "\ud800"]},
    "commands to a terminal": {"categories": ["\x1b]0;title\x07"]},
    "names of lists": {"categories": [[], {}]},
    "channels of texts": {"encoder_channels": ["4"] * 7},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations_that_no_model_has(small_config, bundle_folder, edit_manifest, fails, name):
    with fails(ConfigError, "got ") as failure:
        ModelConfig.from_dict(small_config().to_dict() | CONFIGS[name])
    failure.message.encode()  # can be printed anywhere
    assert len(failure.message) < 600
    edit_manifest(bundle_folder, lambda m: m["config"].update(CONFIGS[name]))
    with fails(BundleError):
        Bundle.open(bundle_folder)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "{", "3", '{"n_fft": 1e999}',
                                  f'{{"n_fft": {"9" * 5000}}}', "null"])  # fmt: skip
def test_configurations_as_text(fails, text):
    with fails(ConfigError):
        ModelConfig.from_json(text)


def test_very_many_categories_are_refused_at_once(small_config, fails):
    """Comparing each with each took 10 s for 20 000."""
    with fails(ConfigError, "categories: got 500000, expected one or more names, up to 4096"):
        small_config(categories=tuple(map(str, range(500_000))))
    assert len(small_config(categories=tuple(map(str, range(4096)))).categories) == 4096


MANIFESTS = {
    "opset": lambda m: m["artifacts"][0].update(opset=float("inf")),
    "opset nan": lambda m: m["artifacts"][0].update(opset=float("nan")),
    "parity of a text": lambda m: m["artifacts"][0].update(parity={"whole": "good"}),
    "parity of no figure": lambda m: m["artifacts"][0].update(parity={"whole": {"figure": "x"}}),
    "parity without end": lambda m: m["artifacts"][0].update(
        parity={"whole": {"figure": float("inf"), "unit": "dB"}}
    ),
    "unit": lambda m: m["artifacts"][0].update(parity={"whole": {"figure": 1.0, "unit": "\x1b["}}),
    "name": lambda m: m.update(name="\x1b]0;title\x07"),
    "licence": lambda m: m.update(licence=["CC0"]),
    "generator": lambda m: m.update(generator="a\nb"),
    "size": lambda m: m["files"]["core.fp32.onnx"].update(bytes=int(WITHOUT_END)),
    "half a character": lambda m: m["files"].update({"\ud800": m["files"]["core.fp32.onnx"]}),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_that_nobody_writes(bundle_folder, edit_manifest, fails, name):
    edit_manifest(bundle_folder, MANIFESTS[name])
    with fails(BundleError) as failure:
        Bundle.open(bundle_folder)
    failure.message.encode()
    assert len(failure.message) < 1000


# Probes


@pytest.fixture
def probe(probe_of, fake_engine, config) -> Probe:
    return probe_of(fake_engine(config))


def archive_of(method=zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def array_file(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def claiming(dtype: str, shape: str) -> bytes:
    """An array file that says this of itself, and has nothing of it."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def members(probe) -> dict[str, bytes]:
    return {field.name: array_file(getattr(probe, field.name)) for field in fields(Probe)}


def peak_of(work) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", [field.name for field in fields(Probe)])
def test_a_bomb_is_refused_before_it_is_unpacked(probe, config, fails, name):
    """Megabytes of zeros are kilobytes when packed."""
    bomb = array_file(np.zeros((4, 1 << 22), np.float32))
    content = archive_of(**members(probe) | {name: bomb})

    def refuse():
        with fails(BundleError, "expected"):
            Probe.from_bytes(content, config, BUNDLE_PROBE)

    assert peak_of(refuse) < 4 << 20


def test_many_windows_that_fit_each_other(probe, config, fails):
    """Of the right shape in everything but their number: 5000 windows in some megabytes."""
    grown = {
        field.name: claiming(held.dtype.str, str((5000, *held.shape[1:])))
        for field in fields(Probe)
        if (held := getattr(probe, field.name)) is not None
    }
    with fails(BundleError, "got 5000 windows of 2 categories"):
        Probe.from_bytes(archive_of(**grown), config, BUNDLE_PROBE)


BROKEN = {
    "python": b"\x93NUMPY\x01\x00\x08\x00__import",
    "token": claiming("<f4", "(('''")[:-4],
    "deep": claiming("<f4", "(" * 300),
    "negative": claiming("<i8", "(-1, 2)"),
    "huge": claiming("<i8", f"({10**300}, 2)"),
    "long": b"\x93NUMPY\x02\x00" + (1 << 31).to_bytes(4, "little"),
    "version": b"\x93NUMPY\x09\x00" + bytes(100),
    "truncated": b"\x93NUM",
    "objects": claiming("|O", "(2, 2)"),
    "fields": claiming("V1000000000", "(2, 2)"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_array_files_that_are_none(probe, config, fails, kind):
    content = archive_of(**members(probe) | {"categories": BROKEN[kind]})
    with fails(BundleError, BUNDLE_PROBE):
        Probe.from_bytes(content, config, BUNDLE_PROBE)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compressions_are_refused(probe, config, fails, method):
    with fails(BundleError, "compressed by method"):
        Probe.from_bytes(archive_of(method, **members(probe)), config, BUNDLE_PROBE)


def test_mutants_of_probes(probe, config):
    """One to four bytes changed, anywhere: probes, or one clear error."""
    content, rng = probe.to_bytes(), np.random.default_rng(1)
    refused = 0
    for _ in range(400):
        mutant = bytearray(content)
        for at in rng.integers(len(mutant), size=rng.integers(1, 5)):
            mutant[at] = rng.integers(256)
        try:
            Probe.from_bytes(bytes(mutant), config, BUNDLE_PROBE)
        except BundleError:
            refused += 1
    assert refused > 300


# Safetensors


def safetensors(header: object | str, data: bytes = b"") -> bytes:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(**changes):
    return {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | changes}


HEADERS = {
    "list as type": entry(dtype=[]),
    "number as type": entry(dtype=3),
    "endless shape": entry(shape=[int(WITHOUT_END)]),
    "endless product": entry(shape=[2**62] * 64),
    "many axes": entry(shape=[1] * 100_000),
    "endless offset": entry(data_offsets=[0, int(WITHOUT_END)]),
    "booleans": entry(shape=[True]),
    "floats": entry(shape=[1.0]),
    "text as offsets": entry(data_offsets="04"),
    "no entry": {"x": 3},
    "deep": "[" * 100_000,
    "digits": f'{{"x": {"9" * 5000}}}',
    "infinite": '{"x": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 4]}}',
    "metadata": {"__metadata__": {"a": 1}},
    "half a character": '{"\\ud800": 3}',
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_nobody_writes(tmp_path, fails, name):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors(HEADERS[name], bytes(4)))
    with fails(CheckpointError) as failure:
        read_header(path)
    failure.message.encode()
    assert len(failure.message) < 1000


def test_mutants_of_checkpoints(exported, tmp_path):
    content = (exported / "checkpoint.safetensors").read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    path, rng, refused = tmp_path / "mutant.safetensors", np.random.default_rng(2), 0
    for _ in range(300):
        mutant = bytearray(content)
        mutant[rng.integers(size)] = rng.integers(256)
        path.write_bytes(mutant)
        try:
            read_header(path)
        except CheckpointError as error:
            str(error).encode()
            refused += 1
    assert refused > 150


def test_info_of_odd_bundles(bundle_folder, edit_manifest):
    """What `info` shows has been looked at when a bundle opens."""
    edit_manifest(
        bundle_folder,
        lambda m: m["artifacts"][0].update(
            parity={"whole": {"figure": None, "unit": "dB", "x": 1}}
        ),
    )
    artifact, *_ = Bundle.open(bundle_folder).artifacts
    assert artifact.parity["whole"]["figure"] is None


def test_pytorch_runs_what_was_verified(bundle):
    """Weights that were changed after the bundle was opened are an error, and not what runs."""
    opened = Bundle.open(bundle)
    path = bundle / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"checkpoint.safetensors: got SHA-256"):
        open_engine("torch", opened)
