"""Networks that are not ours become whole engines of TensorRT for RTX, plugins within, no GPU."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import Kind, Precision, Tensor
from sgn_rt.tensorrt.build.build_engines import BuildRequest, build_into
from sgn_rt.tensorrt.build.options import BuildOptions
from sgn_rt.tensorrt.engine_files import halves_of, read_engine, read_sidecars

THEIRS = Path(__file__).parents[2] / "export" / "foreign"
NETWORKS = {
    "unet": Precision.FP16,
    "groupvit": Precision.FP16,
    "complex_masks": Precision.FP32,
}


@pytest.fixture(params=NETWORKS)
def bundle(request, tmp_path, monkeypatch) -> Bundle:
    """The plugin graph of a network with random weights; not proved, which its own tests do."""
    for package in ("torch", "onnx", "onnxscript"):
        pytest.importorskip(package)
    from sgn_rt.audio.labelled_music import load_music
    from sgn_rt.export.probes import make_probe
    from sgn_rt.export.writer import write_unproved
    from sgn_rt.reference.factory import load_module

    name = request.param
    monkeypatch.chdir(THEIRS)
    monkeypatch.setattr(sys, "path", [str(THEIRS), *sys.path])
    importlib.import_module(f"foreign_networks.{name}").save_random(tmp_path / "weights.pt")
    model = load_module(f"foreign_networks.{name}:make", tmp_path / "weights.pt")
    folder = tmp_path / "bundle"
    folder.mkdir()
    probe = make_probe(model, load_music(None, model.config.sample_rate)[:1])
    write_unproved(
        model, probe, folder, kinds=[Kind.PLUGIN], precisions=[NETWORKS[name]], name=name
    )
    return Bundle.open(folder)


def test_one_engine_from_mixture_to_sources(rtx, library, bundle):
    (artifact,) = bundle.artifacts
    request = BuildRequest(
        precisions=(artifact.precision,), gpus=("sm89",),
        options=BuildOptions(gpus=(), max_batch=2, max_sources=2),
    )  # fmt: skip
    (built,) = build_into(bundle, rtx, request)
    assert built.is_whole
    assert built.kind == Kind.PLUGIN
    (sidecar,) = read_sidecars(bundle)
    assert sidecar == built
    assert not sidecar.is_outdated
    assert halves_of(bundle, sidecar) == [sidecar]
    assert sidecar.max_sources == 2
    assert set(sidecar.profiles[0]) == {Tensor.MIXTURE, Tensor.CATEGORIES}
    assert len(sidecar.figure.plugins) == 2
    assert len(read_engine(bundle, sidecar)) == sidecar.size
    print(f"{bundle.name}: {sidecar.figure.kernels} kernels, {sidecar.size / 1e6:.1f} MB")
