"""What the base class checks of every engine, and the factory's names."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.engines.factory import ENGINES, open_engine
from sgn_rt.errors import BundleError, CheckpointError, EngineError, UnavailableError
from sgn_rt.model.bundle import Bundle


def edit(**fields):
    return lambda call, answer: answer._replace(**{k: f(answer) for k, f in fields.items()})


def with_value(array, value):
    changed = array.copy()
    changed.flat[7 % array.size] = value
    return changed


WRONG = {
    "nan": (edit(sources=lambda a: with_value(a.sources, np.nan)), "sources: got 1 non-finite"),
    "inf": (edit(sources=lambda a: with_value(a.sources, -np.inf)), "sources: got 1 non-finite"),
    "presence": (edit(presence=lambda a: with_value(a.presence, np.nan)), "presence: got 1 non-"),
    "one source": (
        edit(sources=lambda a: a.sources[:, :1]),
        "sources: got float32 of shape (1, 1,",
    ),
    "short": (edit(sources=lambda a: a.sources[..., :-1]), "1015), expected float32 of shape"),
    "doubles": (edit(sources=lambda a: a.sources.astype("f8")), "sources: got float64"),
    "categories": (edit(presence=lambda a: a.presence[:, :2]), "presence: got float32 of shape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_no_wrong_answer_leaves_an_engine(fake_engine, config, noise, fails, name):
    fault, part = WRONG[name]
    engine = fake_engine(config, fault=fault)
    with fails(EngineError, "fake", part):
        engine.separate(noise(1, config.window_samples), np.array([0, 2]))


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: 700\nmore"), ValueError(), MemoryError()]
)
def test_whatever_an_engine_raises_is_an_engine_error(fake_engine, config, noise, fails, error):
    def fault(call, answer):
        raise error

    with fails(EngineError, f"fake: got {type(error).__name__}", "expected a result"):
        fake_engine(config, fault=fault).separate(noise(1, 1016), np.array([0]))
    with pytest.raises(KeyboardInterrupt):
        fake_engine(config, fault=lambda call, answer: interrupt()).separate(
            noise(1, 1016), np.array([0])
        )


def interrupt():
    raise KeyboardInterrupt


def test_input_of_the_wrong_shape(fake_engine, mask_engine, config, noise, fails):
    for wrong in (noise(1, 1015), noise(1, 1016).astype("f8")):
        with fails(EngineError, "mixture: got", "expected float32 of shape (1, 1016)"):
            fake_engine(config).separate(wrong, np.array([0]))
    with fails(EngineError, "log_magnitude: got"):
        mask_engine(config).masks(np.zeros((1, 1, 128, 127), "f4"), np.array([0]))


def test_masks_are_checked_as_sources_are(mask_engine, config, noise, fails):
    def narrow(masked):
        return masked._replace(masks=masked.masks[..., :64])

    def nan(masked):
        return masked._replace(masks=masked.masks * np.float32(np.nan))

    flat = np.zeros((1, 1, 128, 128), np.float32)
    for change, part in ((narrow, "masks: got float32 of shape"), (nan, "non-finite")):
        engine = mask_engine(config, change=change)
        with fails(EngineError, part):
            engine.masks(flat, np.array([0]))
        with fails(EngineError, "masks: "):
            engine.separate(noise(1, 1016), np.array([0]))


def test_batches_and_any_choice_of_categories(mask_engine, config, noise):
    engine = mask_engine(config)
    mixture = noise(3, config.window_samples)
    full = engine.separate(mixture, np.array([0, 1, 2]))
    assert full.sources.shape == (3, 3, 1016)
    for choice in ([], [2], [2, 0]):
        got = engine.separate(mixture, np.array(choice, np.int64))
        np.testing.assert_array_equal(got.sources, full.sources[:, choice])
        np.testing.assert_array_equal(got.presence, full.presence)
    single = engine.separate(mixture[1:2], np.array([1]))
    # The transform works window by window; a batch is a matter of the network alone.
    np.testing.assert_allclose(single.sources[0, 0], full.sources[1, 1], atol=1e-7)


@pytest.mark.parametrize("spec", ["", "onnx", "Torch", "torch:core.fp32", "tensor-rt", "auto"])
def test_engines_that_there_are_not(bundle_folder, fails, spec):
    with fails(EngineError, f"engine: got {spec!r}", *ENGINES):
        open_engine(spec, Bundle.open(bundle_folder))


def test_graphs_that_the_bundle_has_not(bundle_folder, fails):
    pytest.importorskip("onnxruntime")
    bundle = Bundle.open(bundle_folder)
    with fails(UnavailableError, "core.fp32, masks.fp32, expected waveform.fp16"):
        open_engine("onnxruntime:waveform.fp16", bundle)
    with fails(BundleError, "core.fp32.onnx: got a graph that does not parse"):
        open_engine("onnxruntime", bundle)


def test_a_checkpoint_that_is_none(bundle_folder, edit_manifest, fails):
    pytest.importorskip("torch")
    with pytest.raises(CheckpointError, match="that do not fit the configuration"):
        open_engine("torch", Bundle.open(bundle_folder))
    edit_manifest(
        bundle_folder,
        lambda m: (m["files"].pop("checkpoint.safetensors"), m["artifacts"][0].update(external=[])),
    )
    with fails(UnavailableError, "a bundle without checkpoint.safetensors"):
        open_engine("torch", Bundle.open(bundle_folder))


def test_an_engine_is_a_line(fake_engine, config):
    assert repr(fake_engine(config, "first")) == "<FakeEngine first: for tests>"
