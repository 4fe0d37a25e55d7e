"""Sidecars: what fits which machine, what is written, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sgn_rt.errors import BundleError, EngineError
from sgn_rt.model.contract import Kind
from sgn_rt.tensorrt.bindings import Flavor
from sgn_rt.tensorrt.build.rebuild import rebuild_requests
from sgn_rt.tensorrt.engine_files import folder_of, read_engine, read_sidecars, write_engine
from sgn_rt.tensorrt.sidecar import Machine, PluginLibrary

from .conftest import CONTENT


def machine(flavor=Flavor.TENSORRT, version=(10, 13, 3, 9), gpu="sm89"):
    return Machine(flavor=flavor, version=version, gpu=gpu)


@pytest.mark.parametrize(
    ("changes", "where", "fits"),
    [
        ({}, {}, True),
        ({}, {"gpu": "sm90"}, False),
        ({}, {"version": (10, 13, 3, 10)}, False),
        ({}, {"flavor": Flavor.RTX}, False),
        ({"gpus": ("sm86", "sm89")}, {}, True),
        ({"hardware_compatible": True}, {"gpu": "sm120"}, True),
        ({"hardware_compatible": True}, {"gpu": "sm80"}, True),
        ({"hardware_compatible": True}, {"gpu": "sm75"}, False),
        ({"hardware_compatible": True}, {"version": (10, 14)}, False),
        ({"version_compatible": True}, {"version": (11, 2)}, True),
        ({"version_compatible": True}, {"version": (10, 9)}, False),
        ({"version": (10, 9)}, {"version": (10, 13)}, False),
        # As text, 10.9 would come after 10.13.
        ({"version": (10, 9), "version_compatible": True}, {"version": (10, 13)}, True),
    ],
)
def test_what_runs_where(make_sidecar, changes, where, fits):
    assert (make_sidecar(**changes).mismatch(machine(**where)) is None) is fits


def test_a_mismatch_names_both_sides_and_the_command(make_sidecar):
    sidecar = make_sidecar(version=(10, 15), gpus=("sm86",))
    assert sidecar.mismatch(machine(version=(11, 2))) == (
        "engine waveform.fp16.tensorrt.sm89: built for sm86 / tensorrt 10.15, this is sm89 / "
        "tensorrt 11.2. Run `sgn-rt build BUNDLE --flavor tensorrt --kind waveform "
        "--precision fp16`"
    )
    assert sidecar.mismatch(machine(flavor=Flavor.RTX, version=(1, 7))).endswith(
        "--flavor tensorrt-rtx --kind waveform --precision fp16 --gpu sm89`"
    )


def test_written_and_read_back(bundle, make_sidecar):
    sidecar = make_sidecar(
        plugin=PluginLibrary(version="0.1.0", sha256="0" * 64),
        proof={"gpu": "x", "stages": {}},
        workspace_bytes=5,
    )
    path = write_engine(bundle, sidecar, CONTENT)
    assert path.read_bytes() == CONTENT
    assert read_sidecars(bundle) == [sidecar]
    assert read_engine(bundle, sidecar) == CONTENT
    assert sorted(p.name for p in folder_of(bundle).iterdir()) == [
        "waveform.fp16.tensorrt.sm89.engine",
        "waveform.fp16.tensorrt.sm89.json",
    ]


def test_without_engines_there_are_none(bundle):
    assert read_sidecars(bundle) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: "not json",
        lambda values: "[]",
        lambda values: json.dumps(values | {"schema": 3}),
        lambda values: json.dumps(values | {"profiles": []}),
        lambda values: json.dumps(values | {"kind": "other"}),
        lambda values: json.dumps(values | {"profiles": [{"mixture": {"smallest": 1}}]}),
        lambda values: json.dumps({k: v for k, v in values.items() if k != "gpus"}),
        lambda values: json.dumps(values | {"figure": {}}),
    ],
)
def test_a_damaged_sidecar_is_an_engines_error(bundle, make_sidecar, damage):
    sidecar = make_sidecar()
    write_engine(bundle, sidecar, CONTENT)
    path = folder_of(bundle) / f"{sidecar.name}.json"
    path.write_text(damage(sidecar.to_dict()))
    with pytest.raises(EngineError, match=r"got a description that does not read .* expected"):
        read_sidecars(bundle)


def _as_schema_1(bundle, sidecar):
    """Writes an engine as the first version did: one profile, no options that came later."""
    write_engine(bundle, sidecar, CONTENT)
    path = folder_of(bundle) / f"{sidecar.name}.json"
    values = sidecar.to_dict()
    for name in ("optimization_level", "aux_streams"):
        del values[name]
    (profile,) = values["profiles"]
    (activation,) = values["figure"]["activation_bytes"]
    values["figure"] = values["figure"] | {"activation_bytes": activation}
    path.write_text(json.dumps(values | {"schema": 1, "profiles": profile}))


def test_a_sidecar_of_schema_1_reads_as_one_profile(bundle, make_sidecar):
    sidecar = make_sidecar()
    _as_schema_1(bundle, sidecar)
    assert read_sidecars(bundle) == [sidecar]
    assert (sidecar.max_batch, sidecar.max_sources) == (4, 2)


def test_an_engine_from_before_the_cut_is_told_and_does_not_run(bundle, make_sidecar, fails):
    whole = make_sidecar()
    sidecar = replace(whole, kind=Kind.PLUGIN, name="plugin.fp16.tensorrt.sm89")
    _as_schema_1(bundle, sidecar)
    (read,) = read_sidecars(bundle)
    assert read.is_outdated
    assert not whole.is_outdated
    reason = read.mismatch(machine())
    assert "exported before it was cut in two: export it again" in reason
    assert "--kind plugin" in reason
    with fails(EngineError, "exported before it was cut in two"):
        read_engine(bundle, read)


def test_kernels_timed_on_another_gpu_of_the_same_capability_are_told(make_sidecar):
    """H100 and H200, or L4 and RTX 4090: it runs, and its tactics are another GPU's."""
    sidecar = make_sidecar(gpu_name="NVIDIA L4")
    here = replace(machine(), gpu_name="NVIDIA GeForce RTX 4090")
    assert sidecar.mismatch(here) is None
    told = sidecar.foreign_timings(here)
    assert "got kernels chosen by their times on NVIDIA L4, expected NVIDIA GeForce" in told
    assert f"Run `{sidecar.build_command}`" in told
    assert sidecar.foreign_timings(replace(here, gpu_name="NVIDIA L4")) is None
    # Built without a GPU, or by what times nothing.
    assert make_sidecar(gpu_name=None).foreign_timings(here) is None
    assert make_sidecar(flavor=Flavor.RTX, gpu_name="NVIDIA L4").foreign_timings(here) is None


def test_an_engine_of_another_graph_is_refused(bundle, make_sidecar):
    sidecar = make_sidecar(graph_sha256="1" * 64)
    write_engine(bundle, sidecar, CONTENT)
    with pytest.raises(EngineError, match="the bundle was exported again"):
        read_engine(bundle, sidecar)


def test_a_missing_engine_is_refused(bundle, make_sidecar):
    sidecar = make_sidecar()
    write_engine(bundle, sidecar, CONTENT).unlink()
    with pytest.raises(EngineError, match="No such file"):
        read_engine(bundle, sidecar)


def test_a_write_that_fails_leaves_no_sidecar_beside_another_engine(
    bundle, make_sidecar, monkeypatch
):
    from sgn_rt.tensorrt import engine_files as module

    write_engine(bundle, make_sidecar(), CONTENT)

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_whole", full)
    with pytest.raises(BundleError, match="No space left"):
        write_engine(bundle, make_sidecar(size=3), b"new")
    assert read_sidecars(bundle) == []


def test_rebuild_asks_for_what_does_not_fit_and_nothing_else(bundle, make_sidecar, trt, device):
    write_engine(bundle, make_sidecar(), CONTENT)
    assert rebuild_requests(bundle, trt, device) == []
    write_engine(bundle, make_sidecar(name="old", version=(10, 8), workspace_bytes=7), CONTENT)
    write_engine(bundle, make_sidecar(name="rtx", flavor=Flavor.RTX, version=(1, 0)), CONTENT)
    (request,) = rebuild_requests(bundle, trt, device)
    assert request.gpus == ("sm89",)
    assert (request.options.max_batch, request.options.max_sources) == (4, 2)
    assert request.options.workspace_bytes == 7
    folder_of(bundle).joinpath("waveform.fp16.tensorrt.sm89.engine").write_bytes(b"")
    assert len(rebuild_requests(bundle, trt, device)) == 2
