"""Graphs against the reference: published network, small random ones, every kind and precision.

Limits are a few times what was measured (in brackets), never looser than the bundle's own.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from sgn_rt.export.graphs import export_module, masks_module
from sgn_rt.model.contract import FLOATS, Kind, Precision

MASKS = {
    # precision: 99.9th percentile and maximum of the masks' absolute error
    Precision.FP32: (3e-6, 1e-5),  # sums in another order [8e-7, 2e-6]
    Precision.FP16: (3e-3, 1e-2),  # eleven bits through 14 convolutions [1.8e-3, 3.3e-3]
}
EMBEDDING = {Precision.FP32: 1e-5, Precision.FP16: 2e-2}  # [3e-6, 6e-3], of order one
PRESENCE = {Precision.FP32: 2e-6, Precision.FP16: 2e-3}  # [3e-7, 3e-4]
WAVEFORM_PRESENCE = {Precision.FP32: 5e-5, Precision.FP16: 2e-3}  # behind another STFT [1e-5, 3e-4]
SOURCES_DB = {Precision.FP32: 80.0, Precision.FP16: 55.0}  # of sounding sources [85, 68]
SMALL_DB = {Precision.FP32: 95.0, Precision.FP16: 50.0}  # small random networks [111, 59]

CONFIGS = {
    # Several changes in each: an export takes seconds.
    "n_fft 1024, no transformer, one category": {
        "n_fft": 1024, "hop_length": 256, "transformer_depth": 0, "categories": ("only",),
    },
    "hop does not divide, 300 categories, two blocks, tokens of the last level": {
        "n_fft": 512, "hop_length": 160, "transformer_depth": 2, "token_level": 6,
        "categories": tuple(f"category {i}" for i in range(300)),
    },
    "n_fft 400, 384 frames, odd widths, one basis map, tokens of level 3": {
        "n_fft": 400, "hop_length": 100, "frames": 384, "token_level": 3, "mask_basis": 1,
        "encoder_channels": (3, 5, 7, 1, 2, 3, 4),
    },
    "hop of half a frame, 256 bins, samples behind the last hop, widths of whole blocks": {
        "n_fft": 128, "hop_length": 64, "frequency_bins": 256, "window_samples": 127 * 64 + 63,
        "encoder_channels": (16, 16, 32, 8, 16, 16, 8),
    },
}  # fmt: skip
HARDEST = list(CONFIGS)[1]


def assert_close(outputs, expected, precision):
    masks, presence, embedding = (np.asarray(value, np.float32) for value in outputs)
    error = np.abs(masks - expected[0].numpy())
    typical, largest = MASKS[precision]
    assert np.quantile(error, 0.999) < typical
    assert error.max() < largest
    assert np.abs(presence - expected[1].numpy()).max() < PRESENCE[precision]
    assert np.abs(embedding - expected[2].numpy()).max() < EMBEDDING[precision]


@pytest.fixture
def log_magnitude(golden):
    return torch.from_numpy(golden["logmag"])


@pytest.fixture
def mixture(golden):
    return torch.from_numpy(golden["mixture"])


@pytest.mark.parametrize("precision", FLOATS)
@torch.inference_mode()
def test_published_core(instruments, published_pair, run, log_magnitude, precision):
    everything = torch.arange(11)
    outputs = run(published_pair(precision), log_magnitude, everything)
    assert_close(outputs, instruments.masks(log_magnitude, everything), precision)


@pytest.mark.parametrize("precision", FLOATS)
@torch.inference_mode()
def test_published_waveform(instruments, published, run, mixture, golden, si_sdr, precision):
    chosen = torch.tensor([10, 4])  # both sound in this window
    expected = instruments(mixture, chosen)
    sources, presence, embedding = run(published(Kind.WAVEFORM, precision), mixture, chosen)
    assert sources.dtype == np.float32
    assert (si_sdr(expected.sources.numpy(), sources) > SOURCES_DB[precision]).all()
    assert np.abs(presence - expected.presence.numpy()).max() < WAVEFORM_PRESENCE[precision]
    assert embedding.shape == expected.embedding.shape
    assert ((presence > 0.5) == (golden["presence"] > 0.5)).all()


@torch.inference_mode()
def test_half_precision_operator_by_operator(instruments, log_magnitude):
    # ONNX Runtime on the CPU computes most float16 operators in float32; PyTorch rounds each.
    everything = torch.arange(11)
    module = export_module(instruments, Kind.CORE, Precision.FP16)
    presence, embedding, guide, basis = module(log_magnitude)
    assert (guide.dtype, basis.dtype) == (torch.float32, torch.float16)
    outputs = masks_module(Precision.FP16)(basis, guide), presence, embedding
    expected = instruments.masks(log_magnitude, everything)
    assert_close(outputs, expected, Precision.FP16)
    # It does round: float32's limit is far exceeded.
    assert np.quantile((outputs[0] - expected[0]).abs().numpy(), 0.999) > 1e-4


@torch.inference_mode()
def test_half_precision_in_the_reference_evaluator(small_pair, windows):
    # A third opinion on what the graph's types say, from ONNX's own definition of the operators.
    model, pair = small_pair(Precision.FP16)
    core, masks = map(ReferenceEvaluator, pair)
    log_magnitude = model.log_magnitude(model.stft(windows(model.config)[:1]))
    chosen = np.array([2, 0])
    presence, embedding, guide, basis = core.run(None, {"log_magnitude": log_magnitude.numpy()})
    made = masks.run(None, {"basis": basis, "guide": guide[:, chosen]})
    outputs = [*made, presence, embedding]
    expected = model.masks(log_magnitude, torch.from_numpy(chosen))
    assert_close(outputs, expected, Precision.FP16)


@pytest.mark.parametrize("name", CONFIGS)
@torch.inference_mode()
def test_networks_of_other_configurations(small_pair, run, windows, name):
    model, pair = small_pair(**CONFIGS[name])
    log_magnitude = model.log_magnitude(model.stft(windows(model.config)))
    last = len(model.config.categories) - 1
    chosen = torch.tensor([last, 0, last])
    outputs = run(pair, log_magnitude, chosen)
    assert_close(outputs, model.masks(log_magnitude, chosen), Precision.FP32)


@pytest.mark.parametrize(
    ("name", "precision"),
    [*((name, Precision.FP32) for name in CONFIGS), (HARDEST, Precision.FP16)],
)
@torch.inference_mode()
def test_waveforms_of_other_configurations(small, run, windows, si_sdr, name, precision):
    model, graph = small(Kind.WAVEFORM, precision, **CONFIGS[name])
    mixtures = windows(model.config)
    last = len(model.config.categories) - 1
    chosen = torch.tensor([last, 0])
    sources, _, _ = run(graph, mixtures, chosen)
    expected = model(mixtures, chosen).sources.numpy()
    assert sources.shape == expected.shape
    assert (si_sdr(expected, sources) > SMALL_DB[precision]).all()


@pytest.mark.parametrize("kind", [Kind.CORE, Kind.WAVEFORM])
@torch.inference_mode()
def test_chosen_categories_and_batches(small, small_pair, run, windows, kind):
    model, graph = small_pair() if kind == Kind.CORE else small(kind)
    signal = windows(model.config)
    if kind == Kind.CORE:
        signal = model.log_magnitude(model.stft(signal))
    everything, presence, embedding = run(graph, signal, [0, 1, 2])
    for chosen in ([1], [2, 0], [1, 1, 0, 2, 1]):
        some, same_presence, _ = run(graph, signal, chosen)
        assert np.abs(some - everything[:, chosen]).max() < 2e-6
        assert np.array_equal(presence, same_presence)
    for row in range(3):
        alone, alone_presence, alone_embedding = run(graph, signal[row : row + 1], [0, 1, 2])
        assert np.abs(alone[0] - everything[row]).max() < 2e-6
        assert np.abs(alone_presence[0] - presence[row]).max() < 2e-6
        assert np.abs(alone_embedding[0] - embedding[row]).max() < 1e-5
    none, same_presence, _ = run(graph, signal, [])
    assert none.shape == (3, 0, *everything.shape[2:])
    assert np.array_equal(presence, same_presence)


@torch.inference_mode()
def test_a_category_the_model_lacks_is_an_error(small, run, windows):
    model, graph = small(Kind.WAVEFORM)
    with pytest.raises(Exception, match="out of data bounds"):
        run(graph, windows(model.config), [3])
