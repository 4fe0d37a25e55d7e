"""Samples of every type, and what is none."""

from __future__ import annotations

import datetime
import fractions
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sgn_rt.audio import samples
from sgn_rt.audio.samples import FULL_SCALE, LOUDEST, SMALLEST, as_samples, without_tiny
from sgn_rt.errors import AudioError

FLOATS = ("float16", "float32", "float64", "longdouble")


def plain(array: np.ndarray) -> np.ndarray:
    """What `as_samples` has to give, by float64 and without haste."""
    wide = array.astype(np.float64)
    if array.dtype.kind == "f":
        return np.where(np.abs(wide) < SMALLEST, 0.0, wide)
    middle = 128 if array.dtype.kind == "u" else 0
    return (wide - middle) / FULL_SCALE[array.dtype.name]


def types() -> st.SearchStrategy[np.dtype]:
    named = st.sampled_from([*FLOATS, *FULL_SCALE])
    return st.builds(
        lambda name, order: np.dtype(name).newbyteorder(order), named, st.sampled_from("<>")
    )


@given(st.data())
def test_every_type_shape_order_and_layout_gives_the_same_samples(data):
    dtype = data.draw(types())
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=9))
    values = (
        hnp.from_dtype(dtype, allow_nan=False, allow_infinity=False, min_value=-1e4, max_value=1e4)
        if dtype.kind == "f"
        else None
    )
    array = data.draw(hnp.arrays(dtype, shape, elements=values))
    if data.draw(st.booleans()):
        array = np.asfortranarray(array)
    if data.draw(st.booleans()):
        array = array[..., ::2]
    array.flags.writeable = data.draw(st.booleans())
    before = array.copy()
    out = as_samples(array, what="block")
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    assert out.flags.writeable
    assert not np.shares_memory(out, array)
    np.testing.assert_array_equal(array, before)
    np.testing.assert_allclose(out, np.atleast_2d(plain(array)), rtol=1e-6, atol=1e-44)
    assert not ((out != 0) & (np.abs(out) < 0.99 * SMALLEST)).any()


@pytest.mark.parametrize(
    ("dtype", "lowest", "middle", "highest"),
    [("int8", -128, 0, 127), ("int16", -(2**15), 0, 2**15 - 1), ("int32", -(2**31), 0, 2**31 - 1),
     ("uint8", 0, 128, 255)],
)  # fmt: skip
def test_integers_are_scaled_by_their_full_scale(dtype, lowest, middle, highest):
    (out,) = as_samples(np.array([lowest, middle, highest], dtype), what="block")
    assert out[:2].tolist() == [-1.0, 0.0]
    assert 0.99 < out[2] <= 1.0


def test_integers_are_what_a_file_of_them_gives(tmp_path, noise):
    import soundfile

    for subtype, dtype in (("PCM_16", "int16"), ("PCM_32", "int32")):
        path = tmp_path / "a.wav"
        soundfile.write(path, noise(2, 500).T, 8000, subtype=subtype)
        stored = soundfile.read(path, dtype=dtype)[0].T
        expected = soundfile.read(path, dtype="float32")[0].T
        np.testing.assert_array_equal(as_samples(stored, what="block"), expected)


LISTS = [
    ([0.5, 0.25], (1, 2)), ([[0.5], [0.25]], (2, 1)), ([], (1, 0)), ((0.1, 1), (1, 2)),
    (np.zeros((3, 0)), (3, 0)), ([[]], (1, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("values", "shape"), LISTS)
def test_lists_and_single_channels(values, shape):
    assert as_samples(values, what="block").shape == shape
    if shape[0] == 1:
        assert as_samples(values, what="block", channels=1).shape == shape


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int16", "int32", "uint8"])
def test_tensors_on_the_cpu(dtype):
    torch = pytest.importorskip("torch")
    array = (np.array([[0, 1, 5], [100, 50, 3]])).astype(dtype) / (1 if dtype[0] != "f" else 128)
    expected = as_samples(array.astype(dtype), what="block")
    tensor = torch.from_numpy(array.astype(dtype))
    np.testing.assert_array_equal(as_samples(tensor, what="block"), expected)
    np.testing.assert_array_equal(as_samples(tensor.T, what="block"), expected.T)


def test_tensors_that_are_no_samples(fails):
    torch = pytest.importorskip("torch")
    with fails(AudioError, "block: got Tensor", "requires grad", "tensor.detach()"):
        as_samples(torch.zeros(2, 9, requires_grad=True), what="block")
    with fails(AudioError, "block: got Tensor", "off the GPU"):
        as_samples(torch.zeros(2, 9, device="meta"), what="block")
    for dtype in (torch.bfloat16, torch.bool, torch.complex64, torch.int64):
        with fails(AudioError, "block: got"):
            as_samples(torch.zeros(2, 9, dtype=dtype), what="block")


class OnTheGpu:
    """An array of CuPy, as NumPy sees it."""

    shape = (2, 9)

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use `.get()`.")


class Unreadable:
    def __array__(self, *args, **kwargs):
        raise KeyError


NONE = {
    "nothing": (None, "a single NoneType"),
    "a number": (0.5, "a single float"),
    "a name": ("mix.wav", "a single str"),
    "a table": ({"left": [0.0]}, "a single dict"),
    "a generator": ((x for x in [0.0]), "a single generator"),
    "a type": (np.ndarray, "a single type"),
    "bool": (np.zeros((2, 9), bool), "bool samples"),
    "complex": (np.zeros((2, 9), complex), "complex128 samples"),
    "objects": (np.zeros((2, 9), object), "object samples"),
    "fractions": ([fractions.Fraction(1, 2)], "object samples"),
    "strings": (["0.5"], "samples"),
    "dates": (np.array([datetime.datetime(2020, 1, 1)], "M8[s]"), "datetime64[s] samples"),
    "fields": (np.zeros(3, [("l", "f4"), ("r", "f4")]), "samples"),
    "int64": ([0, 1], "int64 samples"),
    "uint16": (np.zeros(3, "u2"), "uint16 samples"),
    "bytes": (b"\0\1", "numpy.frombuffer"),
    "bytearray": (bytearray(4), "numpy.frombuffer"),
    "memoryview": (memoryview(bytes(4)), "numpy.frombuffer"),
    "ragged": ([[0.0, 1.0], [0.0]], "one length"),
    "three axes": (np.zeros((1, 2, 3), "f4"), "shape (1, 2, 3)"),
    "no axis": (np.float32(0.5), "a single float32"),
    "GPU": (OnTheGpu(), "got OnTheGpu that is no array on the CPU (Implicit conversion"),
    "unreadable": (Unreadable(), "got Unreadable that is no array on the CPU (KeyError)"),
    "masked": (np.ma.masked_less(np.array([0.0, -1.0]), 0), "a masked array"),
    "nan": ([[0.0], [np.nan]], "got nan in channel 1 at sample 70"),
    "inf": ([0.0, np.inf], "got inf in channel 0 at sample 71"),
    "beyond float32": ([1e300], "got inf in channel 0 at sample 70"),
    "too loud": ([-2 * LOUDEST], "in channel 0 at sample 70"),
}  # fmt: skip


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_sound(fails, name):
    value, part = NONE[name]
    with warnings.catch_warnings(), fails(AudioError, "block: ", part):
        warnings.simplefilter("error")
        as_samples(value, what="block", position=70)


@pytest.mark.parametrize("shape", [(3, 9), (9,), (1, 9), (0, 9)])
def test_another_number_of_channels(fails, shape):
    with fails(AudioError, f"got shape {shape}", "expected (2, samples)"):
        as_samples(np.zeros(shape, "f4"), what="block", channels=2)


def anything() -> st.SearchStrategy[object]:
    plain = st.sampled_from(
        [None, True, 7, -1.5, 1j, "", "a.wav", b"", b"ab", object(), OnTheGpu()]
    )
    arrays = hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=3, max_side=3))
    return st.recursive(
        plain | arrays, lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner)
    )


@given(anything())
def test_whatever_is_given_it_is_samples_or_one_error(value):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of ragged lists of strange things
        try:
            out = as_samples(value, what="block")
        except AudioError as error:
            told = str(error)
        else:
            told = "block: got"
            assert out.ndim == 2
            assert np.isfinite(out).all()
    assert told.startswith("block: got")


def test_samples_are_copied_before_they_are_checked(monkeypatch):
    """Who writes into the block meanwhile changes nothing: what was checked is what is used."""
    block = np.zeros((1, 9), np.float32)

    def meanwhile(array):
        own = scaled(array)
        block[:] = np.nan
        return own

    scaled = samples.scaled
    monkeypatch.setattr(samples, "scaled", meanwhile)
    np.testing.assert_array_equal(as_samples(block, what="block"), np.zeros((1, 9)))


def test_what_is_too_small_to_hear_is_zero():
    tiny = np.array([[1e-45, -1e-38, 9e-26, -9e-26, 1.1e-25, -1e-20, 0.0, 0.5]], np.float32)
    expected = np.where(np.abs(tiny) < SMALLEST, 0, tiny)
    np.testing.assert_array_equal(as_samples(tiny, what="block"), expected)
    own = tiny.copy()
    assert without_tiny(own) is own
    np.testing.assert_array_equal(own, expected)
