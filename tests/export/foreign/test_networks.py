"""Three networks that are not ours: exported, in parity with themselves, streaming."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format
from onnxruntime import InferenceSession
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sgn_rt.cli import main
from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import ConfigError, EngineError, ModuleError, UnavailableError
from sgn_rt.export.graphs import build_graph
from sgn_rt.export.layerwise import compare_layers
from sgn_rt.model.contract import Kind, Precision
from sgn_rt.model.stages import Stage
from sgn_rt.parity.measure import measure
from sgn_rt.reference.factory import load_module
from sgn_rt.separator import Separator
from sgn_rt.serving.triton import configs
from sgn_rt.serving.triton.repository import write_repository

NETWORKS = ("unet", "groupvit", "complex_masks")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_graph_is_in_parity_with_the_module(exported, name):
    bundle, measured = exported(name)
    assert {artifact.name for artifact in bundle.artifacts} == measured.keys()
    for graph, results in measured.items():
        shown = ", ".join(f"{r.stage} {r.figure:.3g} {r.limit.unit}".strip() for r in results)
        print(f"{name} {graph}: {shown}")
        assert all(result.passed for result in results), (graph, results)
        stages = {result.stage for result in results}
        assert {Stage.NETWORK, Stage.ANALYSIS, Stage.SYNTHESIS, Stage.WHOLE} <= stages


@pytest.mark.parametrize("name", NETWORKS)
def test_an_engine_that_is_opened_shows_the_same(exported, name):
    bundle, _ = exported(name)
    engine = open_engine("onnxruntime", bundle, 1)
    assert engine.detail.startswith("core.fp32")
    assert all(result.passed for result in measure(engine, bundle.probe))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_stream_is_the_file(exported, name):
    bundle, _ = exported(name)
    config = bundle.config
    rng = np.random.default_rng(5)
    signal = 0.1 * rng.standard_normal((1, 2 * config.window_samples)).astype(np.float32)
    names = list(config.categories[:2])
    with Separator.open(bundle, "onnxruntime", threads=1) as separator:
        offline = separator.separate(signal, names, sample_rate=config.sample_rate)
        stream = separator.stream(sample_rate=config.sample_rate, categories=names)
        parts = [stream.feed(block) for block in np.array_split(signal, 7, axis=1)]
        parts.append(stream.flush())
        for source in names:
            live = np.concatenate([part[source] for part in parts], axis=1)
            np.testing.assert_array_equal(live, offline.sources[source])
            assert live.any()


def test_without_presence_all_categories_count_as_present(exported, fails):
    bundle, _ = exported("unet")
    config = bundle.config
    assert not config.has_presence
    assert config.embedding_dim is None
    signal = 0.1 * np.random.default_rng(6).standard_normal((1, 30000)).astype(np.float32)
    with Separator.open(bundle, "onnxruntime", threads=1) as separator:
        found = separator.separate(signal, sample_rate=config.sample_rate)
        assert list(found.sources) == list(config.categories)
        assert "does not say what is present" in found.presence_rule
        with fails(ConfigError, "threshold", "does not say what is present"):
            separator.separate(signal, sample_rate=config.sample_rate, threshold=0.3)


def test_presence_and_embedding_are_noted(exported):
    bundle, _ = exported("groupvit")
    assert bundle.config.has_presence
    assert bundle.config.embedding_dim == 32
    assert len(bundle.config.categories) == 21


def test_info_says_what_it_takes(exported, capsys, monkeypatch):
    bundle, _ = exported("complex_masks")
    monkeypatch.setattr("sys.argv", ["sgn-rt", "info", str(bundle.root), "--check"])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
    shown = " ".join(capsys.readouterr().out.split())
    assert "complex masks; it does not say what is present" in shown
    assert "manifest valid" in shown


def test_no_engine_needs_the_code(exported, fails):
    bundle, _ = exported("groupvit")
    with fails(UnavailableError, "a user's own network"):
        open_engine("torch", bundle)


@pytest.mark.parametrize("name", NETWORKS)
def test_triton_is_told_what_its_graph_takes(exported, name, tmp_path):
    bundle, _ = exported(name)
    model = configs.model_name(Kind.CORE, Precision.FP32, "onnx")
    assert model in write_repository(bundle, tmp_path / "out")
    folder = tmp_path / "out" / "models" / model
    config = text_format.Parse((folder / "config.pbtxt").read_text(), ModelConfig())
    session = InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    batch = [-1] if config.max_batch_size else []
    for told, real in (
        (config.input, session.get_inputs()), (config.output, session.get_outputs()),
    ):  # fmt: skip
        assert {each.name: [*batch, *each.dims] for each in told} == {
            each.name: [size if isinstance(size, int) else -1 for size in each.shape]
            for each in real
        }


def test_layers_want_a_network_of_ours(exported, fails):
    bundle, _ = exported("unet")
    with fails(EngineError, "core.fp32", "a user's own network", "--layers"):
        compare_layers(bundle, bundle.find(Kind.CORE, Precision.FP32))


def test_another_window_has_no_plugin(tmp_path, fails):
    (tmp_path / "weights.pt").touch()
    (tmp_path / "hamming_net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x, categories):\n"
        "        return torch.sigmoid(x.expand(-1, 2, -1, -1))[:, categories]\n"
        "def make(path):\n"
        "    return Net(), dict(sample_rate=8000, n_fft=64, hop_length=16, window_samples=320,\n"
        "                       categories=['a', 'b'], window='hamming')\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        model = load_module("hamming_net:make", tmp_path / "weights.pt")
    assert model.config.window == "hamming"
    with fails(ModuleError, "hamming", "waveform"):
        build_graph(model, Kind.PLUGIN, Precision.FP32)
