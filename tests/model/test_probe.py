"""Probes: bytes that are the same every time, and files that are none."""

from __future__ import annotations

import io
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from sgn_rt.errors import BundleError
from sgn_rt.model.probe import Probe

WHERE = Path("probe.npz")


@pytest.fixture
def probe(probe_of, fake_engine, config) -> Probe:
    """With every array that there may be."""
    made = probe_of(fake_engine(config))
    shape = (made.windows, len(config.categories), config.tokens)
    return replace(made, assignment=np.full(shape, 1 / 3, np.float32))


def test_round_trip(probe, config):
    again = Probe.from_bytes(probe.to_bytes(), config, WHERE)
    for field in fields(Probe):
        before, after = getattr(probe, field.name), getattr(again, field.name)
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)
    assert again.to_bytes() == probe.to_bytes()


@pytest.mark.parametrize("name", ["shares", "assignment"])
def test_what_graphs_do_not_show_may_be_missing(probe, config, name):
    without = replace(probe, **{name: None})
    again = Probe.from_bytes(without.to_bytes(), config, WHERE)
    assert getattr(again, name) is None
    np.testing.assert_array_equal(again.sources, probe.sources)


def saved(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def array_file(array, **options) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no zip",
        saved(),
        saved(mixture=np.zeros(3)),
        array_file(np.zeros(3)),
        array_file(np.array([{}], object), allow_pickle=True),
        saved(**{f.name: np.array([{}], object) for f in fields(Probe)}),
    ],
    ids=["empty", "text", "no arrays", "one array", "npy", "pickle", "pickles"],
)
def test_what_is_no_probe(config, fails, content):
    with fails(BundleError, "probe.npz: got a file that does not read as probes"):
        Probe.from_bytes(content, config, WHERE)


def test_a_damaged_archive(probe, config, fails):
    content = probe.to_bytes()
    # Wherever it is: in a name, in the compressed data, in the directory at the end.
    for at in range(0, len(content), len(content) // 40):
        damaged = content[:at] + bytes([255]) * 64 + content[at + 64 :]
        with fails(BundleError, "does not read as probes"):
            Probe.from_bytes(damaged, config, WHERE)
        with fails(BundleError, "does not read as probes"):
            Probe.from_bytes(content[:at], config, WHERE)


def test_any_byte_of_the_directory(probe, config):
    """Encrypted, of another compression, of a later zip: all of it is no probe."""
    content = probe.to_bytes()
    rng = np.random.default_rng(4)
    refused = 0
    for at in range(len(content) - 500, len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        try:
            Probe.from_bytes(bytes(damaged), config, WHERE)
        except BundleError:
            refused += 1
    assert refused > 200  # dates and attributes mean nothing


@pytest.mark.parametrize("field", [field.name for field in fields(Probe)])
def test_every_array_must_fit_the_model(probe, config, fails, field):
    array = getattr(probe, field)
    with fails(BundleError, f"probe.npz: {field}: got float16"):
        replace(probe, **{field: array.astype("f2")}).check(config, WHERE)
    # Without a column, categories fit no other array, and the first of these is named.
    named = field if field != "categories" else "masks"
    with fails(BundleError, f"probe.npz: {named}: got", "of shape"):
        replace(probe, **{field: array[..., :-1]}).check(config, WHERE)


def test_categories_must_be_the_models(probe, config, fails):
    for wrong in (-1, 3):
        with fails(BundleError, "categories: got", "positions below 3"):
            replace(probe, categories=np.full_like(probe.categories, wrong)).check(config, WHERE)


def test_categories_without_windows(probe, config, fails):
    with fails(BundleError, "categories: got shape (2,)"):
        replace(probe, categories=probe.categories[0]).check(config, WHERE)


def test_no_window_is_no_probe(probe, config, fails):
    none = {field.name: getattr(probe, field.name)[:0] for field in fields(Probe)}
    with fails(BundleError, "mixture: got float32 of shape (0,"):
        Probe(**none).check(config, WHERE)
