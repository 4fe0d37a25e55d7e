"""Builds on a fake of full TensorRT: options, and None or False at every call."""

from __future__ import annotations

import json
from collections import Counter
from itertools import starmap
from pathlib import Path
from types import SimpleNamespace

import pytest

from sgn_rt.errors import BundleError, ConfigError, EngineError, ParityError
from sgn_rt.model.contract import GraphKey, Kind, Precision
from sgn_rt.model.stages import LIMITS, Stage, StageResult
from sgn_rt.tensorrt import bindings as flavors
from sgn_rt.tensorrt.bindings import Flavor, TensorRT
from sgn_rt.tensorrt.build import builder as builders
from sgn_rt.tensorrt.build.build_engines import BuildRequest, build_into, choose_gpus
from sgn_rt.tensorrt.build.builder import build_engine
from sgn_rt.tensorrt.build.options import BuildOptions
from sgn_rt.tensorrt.engine_files import folder_of, read_sidecars

LOG = (
    "Total Activation Memory: 1234 bytes",
    "Total Weights Memory: 99 bytes",
    "Layers:\n"
    "Name: __myl_CastMeanCast_myl0_1, LayerType: kgen, Inputs: [ { Name: x, Dimensions: [1] }], "
    "TacticName: abc_0x1, StreamId: 0, Metadata: \n"
    "Name: _gemm_mha_v2_myl0_2, LayerType: kgen, Inputs: [], TacticName: , StreamId: 0\n"
    "Name: stft, LayerType: PluginV3, Inputs: [], TacticName: 0x1, StreamId: 0\n"
    "Name: __myl_ReshTranMove_myl0_3, LayerType: kgen, Inputs: [], TacticName: , StreamId: 0\n"
    "Name: __mye1_0_myl0_0, LayerType: shape_call, Inputs: [], TacticName: , StreamId: 0",
)


GRAPH = b"\x08\x09"
"""An ONNX model as far as anyone here reads it: a version, and no graph."""


class Builders:
    """A TensorRT that builds nothing; ``fail`` names the calls that give None or False."""

    def __init__(self, fail=()):
        self.fail, self.seen, self.calls = set(fail), {}, Counter()
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        self.HardwareCompatibilityLevel = SimpleNamespace(AMPERE_PLUS="ampere+")
        self.BuilderFlag = SimpleNamespace(TF32="tf32", VERSION_COMPATIBLE="version")
        self.ProfilingVerbosity = SimpleNamespace(DETAILED="detailed")
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        self.LayerInformationFormat = SimpleNamespace(JSON="json")
        self.TensorFormat = SimpleNamespace(HWC8=4, HWC=8)
        self.names = ["presence", "basis"]
        self.inspected = '{"Layers": [{"Name": "_gemm_mha_v2", "LayerType": "kgen"}, "conv"]}'
        self.Dims = tuple
        self.log = LOG

        class ILogger:
            Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)

            def __init__(self):
                pass

        class IProgressMonitor:
            def __init__(self):
                pass

        self.ILogger, self.IProgressMonitor = ILogger, IProgressMonitor

    def gives(self, call, good, bad=None):
        self.calls[call] += 1
        if call in self.fail:
            self.logger.log(1, f"{call}: says no")
            return bad
        return good

    def Builder(self, logger):
        self.logger = logger
        if "Builder" in self.fail:
            raise TypeError("factory function returned nullptr")
        return self

    def create_network(self, flags):
        self.seen["flags"] = flags
        layer = SimpleNamespace(name="conv", type=SimpleNamespace(name="CONVOLUTION"))
        self.outputs = [SimpleNamespace(name=name) for name in self.names]
        network = SimpleNamespace(
            num_layers=1, get_layer=lambda i: layer,
            num_outputs=len(self.outputs), get_output=self.outputs.__getitem__,
        )  # fmt: skip
        return self.gives("create_network", network)

    def OnnxParser(self, network, logger):
        return self.gives("OnnxParser", self)

    def parse(self, content, path):
        self.seen["parsed"] = (content, path)
        return self.gives("parse", True, False)

    num_errors = 1

    def get_error(self, index):
        return SimpleNamespace(desc=lambda: "no such operator")

    def create_builder_config(self):
        config = SimpleNamespace(
            cleared=[], flags=[], pools={},
            create_timing_cache=lambda content: self.gives(
                "create_timing_cache", SimpleNamespace(content=content, serialize=lambda: b"new")
            ),
            set_timing_cache=lambda cache, ignore_mismatch: self.gives(
                "set_timing_cache", not ignore_mismatch, False
            ),
            add_optimization_profile=lambda p: self.gives("add_optimization_profile", 0, -1),
        )  # fmt: skip
        config.clear_flag = config.cleared.append
        config.set_flag = config.flags.append
        config.set_memory_pool_limit = config.pools.__setitem__
        self.config = config
        return self.gives("create_builder_config", config)

    def create_optimization_profile(self):
        shapes: dict = {}
        self.seen.setdefault("profiles", []).append(shapes)
        profile = SimpleNamespace(set_shape=lambda name, *sizes: shapes.__setitem__(name, sizes))
        return self.gives("create_optimization_profile", profile)

    def build_serialized_network(self, network, config):
        monitor = config.progress_monitor
        monitor.phase_start("root", None, 2)
        go_on = monitor.step_complete("root", 0)
        monitor.phase_finish("root")
        for message in self.log:
            self.logger.log(4, message)
        return self.gives("build_serialized_network", b"engine") if go_on else None

    def Runtime(self, logger):
        return self

    def get_plugin_registry(self):
        return None

    def deserialize_cuda_engine(self, content):
        assert content == b"engine"
        return self.gives("deserialize_cuda_engine", self)

    def create_engine_inspector(self):
        return self.gives("create_engine_inspector", self)

    def get_engine_information(self, form):
        assert form == "json"
        return self.inspected

    num_optimization_profiles = 2

    def get_device_memory_size_for_profile_v2(self, index):
        return 1000 + index


def _metadata(key: str, value: str) -> bytes:
    """An entry of a model's metadata, in protobuf's wire format."""

    def part(field: int, content: bytes) -> bytes:
        low, high = len(content) & 0x7F | 0x80, len(content) >> 7
        return bytes([field << 3 | 2, low, high]) + content

    return part(14, part(1, key.encode()) + part(2, value.encode()))


@pytest.fixture
def build(bundle):
    """Builds on a fake: (options, failing calls) -> what came of it, and the fake."""
    entries = {
        GraphKey.CONFIG: json.dumps(bundle.config.to_dict()),
        GraphKey.SCHEMA: "2",
        GraphKey.KIND: "waveform",
        GraphKey.PRECISION: "fp16",
    }
    bundle.schema = 2
    bundle.read = lambda path: GRAPH + b"".join(starmap(_metadata, entries.items()))
    (artifact,) = bundle.artifacts

    def run(
        options=None, fail=(), progress=id, log=LOG, plugins=None,
        kind=Kind.WAVEFORM, precision=Precision.FP16, **changes,
    ):  # fmt: skip
        module = Builders(fail)
        vars(module).update(changes, log=log)
        artifact.kind, artifact.precision = kind, precision
        entries.update({GraphKey.KIND: kind, GraphKey.PRECISION: precision})
        trt = TensorRT(flavor=Flavor.TENSORRT, module=module, version=(10, 13))
        options = options or BuildOptions(gpus=("sm89",))
        return build_engine(trt, bundle, artifact, options, plugins, progress), module

    return run


def test_strongly_typed_without_tf32_and_with_the_widest_shapes(build, config):
    built, module = build()
    assert module.seen["flags"] == 1 << 1
    assert module.config.cleared == ["tf32"]
    n = config.window_samples
    # Live streams first: one window that waits for no other. Then recordings.
    categories = ((1,), (3,), (3,))
    assert module.seen["profiles"] == [
        {"mixture": ((1, n), (1, n), (4, n)), "categories": categories},
        {"mixture": ((1, n), (8, n), (8, n)), "categories": categories},
    ]
    assert (built.content, built.timing_cache) == (b"engine", None)


def test_the_parser_sees_no_graph_that_names_other_files(build, bundle):
    """It is given a path, and would read what a graph names beside it, or anywhere."""
    entry = b"\x0a\x08location\x12\x09../secret"
    tensor = b"\x6a" + bytes([len(entry)]) + entry
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    bundle.read = lambda path: b"\x3a" + bytes([len(graph)]) + graph
    with pytest.raises(BundleError, match=r"waveform.fp16.onnx: got a graph with tensors in '../"):
        build()


def test_the_figure_is_read_off_the_log(build):
    figure = build()[0].figure
    assert (figure.kernels, figure.casts, figure.movers, figure.attention) == (4, 2, 1, 1)
    assert figure.plugins == ("stft",)
    assert figure.kinds == {"kgen": 3, "PluginV3": 1, "shape_call": 1}
    assert (figure.activation_bytes, figure.weights_bytes) == ((1234,), 99)
    assert figure.memory == "0 MB per context, 0 MB weights"
    assert figure.network == {"CONVOLUTION": 1}


def test_what_the_log_does_not_list_the_inspector_does(build):
    figure = build(BuildOptions(gpus=("sm89",), max_batch=2), log=LOG[:2])[0].figure
    assert (figure.kernels, figure.attention, figure.weights_bytes) == (2, 1, 99)
    assert figure.activation_bytes == (1000, 1001)  # as the engine says, of each profile


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"Layers": null}', "[" * 100_000])
def test_an_inspector_that_tells_nothing_fails_no_build(build, text):
    built, _ = build(log=LOG[:2], inspected=text)
    assert (built.content, built.figure.kernels) == (b"engine", 0)


def test_layers_are_counted_of_the_profile_for_the_largest_batch(build):
    lines = LOG[-1].splitlines()
    # As TensorRT for RTX prints a second profile: in names of ONNX, or the number alone.
    again = [lines[1].replace("_myl0_1", "_myl1_1"), lines[3].replace("stft", "stft [profile 1]")]
    built, _ = build(log=(*LOG[:2], "\n".join([*lines, *again])))
    assert (built.figure.kernels, built.figure.attention) == (2, 0)
    assert built.figure.plugins == ("stft",)


@pytest.mark.parametrize(("precision", "layout"), [("fp16", 4), ("fp32", 8)])
def test_basis_maps_leave_channels_last(build, precision, layout):
    _, module = build(kind=Kind.PLUGIN, precision=Precision(precision))
    presence, basis = module.outputs
    assert basis.allowed_formats == 1 << layout
    assert not hasattr(presence, "allowed_formats")
    _, module = build()
    assert not any(hasattr(output, "allowed_formats") for output in module.outputs)


def test_the_inspectors_runtime_has_what_the_engine_needs(build, bundle, monkeypatch):
    loaded = []
    for module in (builders, flavors):
        monkeypatch.setattr(module, "load_plugins", lambda trt, registry, path: loaded.append(path))
    options = BuildOptions(gpus=("sm89",), version_compatible=True)
    _, module = build(options, log=LOG[:2], plugins=Path("library"))
    assert loaded == [Path("library")] * 2  # the builder's registry, and the runtime's
    assert module.engine_host_code_allowed
    assert not hasattr(build(log=LOG[:2])[1], "engine_host_code_allowed")


@pytest.mark.parametrize("call", ["deserialize_cuda_engine", "create_engine_inspector"])
def test_an_engine_is_built_without_its_figure_too(build, call):
    built, _ = build(log=LOG[:2], fail=[call])
    assert (built.content, built.figure.kernels) == (b"engine", 0)


def test_options_reach_the_configuration(build, tmp_path, config):
    cache = tmp_path / "timings"
    cache.write_bytes(b"old")
    options = BuildOptions(
        gpus=("sm89",), max_batch=3, max_sources=2, timing_cache=cache,
        hardware_compatible=True, version_compatible=True, workspace_bytes=512,
        optimization_level=5, aux_streams=0,
    )  # fmt: skip
    built, module = build(options)
    assert module.config.builder_optimization_level == 5
    assert module.config.max_aux_streams == 0
    assert module.config.hardware_compatibility_level == "ampere+"
    assert module.config.flags == ["version"]
    assert module.config.pools == {"workspace": 512}
    assert built.timing_cache == b"new"
    (profile,) = built.profiles  # a live stream's batch: nothing else is there to be best for
    assert profile["mixture"].best == profile["mixture"].largest == (3, config.window_samples)
    assert profile["categories"].largest == (2,)


def test_what_is_left_to_tensorrt_is_not_set(build):
    _, module = build()
    assert not hasattr(module.config, "builder_optimization_level")
    assert not hasattr(module.config, "max_aux_streams")


@pytest.mark.parametrize(
    "call",
    ["Builder", "create_network", "OnnxParser", "parse", "create_builder_config",
     "create_optimization_profile", "add_optimization_profile", "build_serialized_network",
     "create_timing_cache", "set_timing_cache"],
)  # fmt: skip
def test_every_none_and_false_is_an_error(call, build, tmp_path):
    options = BuildOptions(gpus=("sm89",), timing_cache=tmp_path / "timings")
    with pytest.raises(EngineError, match=r"got .*expected .*[.] [A-Z]") as caught:
        build(options, fail=[call])
    reason = {"Builder": "nullptr", "parse": "no such operator"}.get(call, f"{call}: says no")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_batch": 0}, "max batch: got 0"),
        ({"max_sources": 4}, "max sources: got 4, expected 1 to 3"),
        ({"max_sources": 0}, "max sources: got 0"),
        ({"workspace_bytes": 0}, "workspace: got 0"),
        ({"optimization_level": 6}, "optimization level: got 6, expected 0 to 5"),
        ({"aux_streams": -1}, "aux streams: got -1, expected 0 to 16"),
    ],
)
def test_numbers_out_of_range_are_refused(build, changes, message):
    with pytest.raises(ConfigError, match=message):
        build(BuildOptions(gpus=("sm89",), **changes))


@pytest.mark.parametrize("option", ["hardware_compatible", "version_compatible", "timing_cache"])
def test_rtx_refuses_what_it_ignores_or_cannot(option, config, tmp_path):
    trt = TensorRT(flavor=Flavor.RTX, module=None, version=(1, 7))
    value = tmp_path / "x" if option == "timing_cache" else True
    with pytest.raises(ConfigError, match=f"{option.replace('_', '-')}: got it with tensorrt-rtx"):
        BuildOptions(gpus=("sm89",), **{option: value}).check(trt, config)


def test_a_listener_that_raises_stops_the_build_and_is_heard(build):
    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(progress=stop)


def test_full_tensorrt_builds_for_the_gpu_that_is_here(trt, device):
    assert choose_gpus(trt, (), device) == ("sm89",)
    assert choose_gpus(trt, ("sm89",), device) == ("sm89",)
    with pytest.raises(ConfigError, match="gpu: got sm120, expected sm89"):
        choose_gpus(trt, ("sm120",), device)
    with pytest.raises(EngineError, match="got no GPU"):
        choose_gpus(trt, (), None)


def test_rtx_builds_for_what_is_named_or_here_or_usual(rtx, device):
    assert choose_gpus(rtx, ("sm120", "sm86", "sm120"), device) == ("sm120", "sm86")
    assert choose_gpus(rtx, (), device) == ("sm89",)
    assert choose_gpus(rtx, (), None) == ("sm80", "sm86", "sm89", "sm120")
    with pytest.raises(ConfigError, match="gpu: got 'sm90', expected one of sm75"):
        choose_gpus(rtx, ("sm90",), None)


@pytest.fixture
def into(bundle, trt, device, build):
    """`build_into` on fakes, with a figure of parity; None where nothing can prove."""

    def run(figure=None, request=None, here=device):
        made, _ = build()
        limit = LIMITS[Stage.WHOLE][Precision.FP16]

        def prover(halves):
            return [StageResult(stage=Stage.WHOLE, figure=figure, limit=limit)]

        return build_into(
            bundle, trt, request or BuildRequest(), device=here,
            prover=None if figure is None else prover, builder=lambda *a, **k: made,
        )  # fmt: skip

    return run


def test_an_engine_that_passes_is_recorded_as_proved(into, bundle):
    (written,) = into(figure=60.0)
    assert written.proof["gpu"] == written.gpu_name == "Fake GPU"
    assert read_sidecars(bundle) == [written]


def test_an_engine_that_fails_parity_is_not_recorded(into, bundle):
    with pytest.raises(ParityError, match=r"stage whole: got 20 dB, .*It was not recorded"):
        into(figure=20.0)
    assert not folder_of(bundle).exists()


def test_without_a_proof_it_is_recorded_as_unproved(into, bundle):
    into()
    (sidecar,) = read_sidecars(bundle)
    assert sidecar.proof is None


@pytest.mark.parametrize(
    ("request_", "kind", "message"),
    [
        (BuildRequest(precisions=(Precision.FP32,)), BundleError, "waveform.fp32 to build from"),
        (BuildRequest(kind=Kind.CORE), ConfigError, "kind: got core"),
        (BuildRequest(precisions=()), ConfigError, "precisions: got none, expected at least one"),
    ],
)
def test_graphs_that_cannot_be_built_from(into, request_, kind, message):
    with pytest.raises(kind, match=message):
        into(request=request_)
