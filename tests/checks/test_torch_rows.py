"""The row to beat: the reference as one would run it, here on the CPU in the GPU's place."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt.checks.check import Place
from sgn_rt.errors import EngineError, UnavailableError
from sgn_rt.model.bundle import embedded

torch = pytest.importorskip("torch")
rows = pytest.importorskip("sgn_rt.checks.device.torch_rows")


class Torch:
    """PyTorch, which compiles nothing here."""

    def __getattr__(self, name):
        return getattr(torch, name)

    def compile(self, function):
        self.compiled = function
        return function


@pytest.fixture(scope="module")
def bundle(small_config):
    """A small model, and a probe of what it says itself."""
    from sgn_rt.reference import random_model

    model = random_model(small_config(), 0)
    mixture = 0.1 * torch.randn(1, model.config.window_samples, generator=torch.manual_seed(0))
    categories = torch.arange(3)
    with torch.inference_mode():
        sources = model(mixture, categories).sources
    probe = SimpleNamespace(
        mixture=mixture.numpy(), categories=categories[None].numpy(), sources=sources.numpy()
    )
    return SimpleNamespace(config=model.config, probe=probe, model=model)


@pytest.fixture
def world(monkeypatch, clock, bundle):
    monkeypatch.setattr(rows, "LARGEST", 2)
    monkeypatch.setattr(rows, "RUNS", 1)

    def tick():
        clock.now += 0.5
        return clock.now

    monkeypatch.setattr(rows.TorchWorld, "model", lambda self: copy.deepcopy(bundle.model))
    return rows.TorchWorld(Torch(), bundle, device="cpu", clock=tick)


CHECKS = {check.name: check.run for check in rows.GROUP.checks}


@pytest.mark.parametrize("name", CHECKS)
def test_each_row_separates_and_is_timed(world, name):
    before = torch.get_float32_matmul_precision()
    figures = CHECKS[name](world)
    assert figures["si_sdr_db"] > (100 if name == "eager" else 30)
    assert figures["sources"] == 3
    # Two turns of a run, half a second each, of a second.
    assert figures["windows_per_s_batch_1"] == pytest.approx(2.0)
    assert figures["windows_per_s_batch_2"] == pytest.approx(4.0)
    assert torch.get_float32_matmul_precision() == before
    assert hasattr(world.torch, "compiled") == (name == "compiled")


def test_a_reference_that_does_not_separate_is_no_row_to_beat(world):
    def separate(mixture, wanted):
        return torch.from_numpy(np.random.default_rng(0).random((1, 3, mixture.shape[1])))

    with pytest.raises(EngineError, match="PyTorch in float32: got "):
        rows._row(world, separate, "float32")


def test_a_bundle_without_checkpoint_or_a_pytorch_without_gpu_is_told(monkeypatch, fails):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with fails(UnavailableError, "got no GPU that it can use"):
        rows.open_world(Place(bundle=embedded()))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert rows.open_world(Place(bundle=embedded())).device == "cuda"
    bundle = SimpleNamespace(has_checkpoint=False, root="here")
    monkeypatch.setattr(rows.Bundle, "open", lambda path: bundle)
    with fails(UnavailableError, "got a bundle without checkpoint"):
        rows.open_world(Place(bundle=embedded()))
