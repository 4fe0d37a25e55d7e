"""``sgn-rt build``: what it asks for and tells; builds themselves are tests of `tests/tensorrt`."""

from __future__ import annotations

import pytest

from sgn_rt.model.contract import Kind, Precision
from sgn_rt.tensorrt import bindings
from sgn_rt.tensorrt.build import build_engines
from sgn_rt.tensorrt.device import factory


@pytest.fixture
def asked(monkeypatch):
    """What is asked to be built; nothing is."""
    requests = []

    def build_into(bundle, trt, request, **others):
        requests.append(request)
        return []

    monkeypatch.setattr(bindings, "load", lambda flavor: None)
    monkeypatch.setattr(factory, "find_device", lambda: None)
    monkeypatch.setattr(build_engines, "build_into", build_into)
    return requests


def test_options_of_a_build(run, bundle_folder, asked):
    result = run(
        "build", bundle_folder, "--flavor", "tensorrt", "--kind", "plugin", "--precision", "fp32",
        "--max-batch", "16", "--max-sources", "3", "--workspace", "512M",
        "--optimization-level", "4", "--aux-streams", "0",
    )  # fmt: skip
    assert result.code == 0
    (request,) = asked
    assert (request.kind, request.precisions) == (Kind.PLUGIN, [Precision.FP32])
    options = request.options
    assert (options.max_batch, options.max_sources, options.workspace_bytes) == (16, 3, 512 << 20)
    assert (options.optimization_level, options.aux_streams) == (4, 0)


def test_what_is_not_named_is_left_to_tensorrt(run, bundle_folder, asked):
    assert run("build", bundle_folder, "--flavor", "tensorrt").code == 0
    (request,) = asked
    options = request.options
    assert (options.optimization_level, options.aux_streams, options.workspace_bytes) == (None,) * 3


@pytest.mark.parametrize("option", ["--optimization-level=6", "--aux-streams=-1"])
def test_numbers_out_of_range_are_refused_before_any_work(run, bundle_folder, asked, option):
    result = run("build", bundle_folder, "--flavor", "tensorrt", option)
    assert result.code == 2
    assert asked == []


def test_a_graph_from_before_the_cut_is_told(run, bundle_folder, edit_manifest, monkeypatch):
    def change(manifest):
        manifest["schema"] = 2
        manifest["artifacts"].append(manifest["artifacts"][0] | {"kind": "plugin"})

    edit_manifest(bundle_folder, change)
    monkeypatch.setattr(build_engines, "choose_gpus", lambda trt, named, device: ("sm89",))
    monkeypatch.setattr(bindings, "load", lambda flavor: None)
    monkeypatch.setattr(factory, "find_device", lambda: None)
    result = run("build", bundle_folder, "--flavor", "tensorrt", "--precision", "fp32")
    assert result.code == 2
    assert "plugin.fp32 (exported before it was cut in two: export it again)" in result.err
    assert "expected plugin.fp32 or waveform.fp32 to build from" in result.err
    assert not (bundle_folder / "engines").exists()
