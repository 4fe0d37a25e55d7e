"""The engine on a fake device: parts, double buffering, threads, errors, start-up, fallback."""

from __future__ import annotations

import hashlib
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sgn_rt._types import Part
from sgn_rt.engines import tensorrt as engines
from sgn_rt.engines.factory import ENGINES
from sgn_rt.engines.guarded import GuardedEngine
from sgn_rt.engines.tensorrt import TensorRTEngine, open_tensorrt
from sgn_rt.errors import EngineError, ParityWarning, UnavailableError
from sgn_rt.model.contract import Kind
from sgn_rt.parity.service import Service
from sgn_rt.separator import Separator
from sgn_rt.tensorrt.bindings import Flavor, TensorRT
from sgn_rt.tensorrt.engine_files import read_sidecars, write_engine
from sgn_rt.tensorrt.trust import TRUST_VARIABLE

from ..attacks.test_fork import in_fork, needs_fork
from .conftest import CONTENT
from .fakes import PRESENCE, SHARES


@pytest.fixture
def engine(bundle, model):
    return TensorRTEngine("tensorrt", bundle, model)


@pytest.fixture
def per_lane(model):
    """Contexts of a lane."""
    return len({model.network, model.last})


@pytest.fixture
def machine(monkeypatch, module, device):
    """This machine: the fake TensorRT in a version, and the fake device."""

    def become(version=(10, 13, 3, 9), gpu="sm89"):
        device.capability = gpu
        monkeypatch.setattr(engines, "open_device", lambda ordinal: device)
        monkeypatch.setattr(
            engines, "load", lambda f: TensorRT(flavor=f, module=module, version=version)
        )

    become()
    # What `write_engine` alone has written no build has recorded.
    monkeypatch.setenv(TRUST_VARIABLE, "1")
    return become


def windows(config, count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, config.window_samples)).astype(np.float32)


def check(answer, mixture, categories):
    expected = mixture[:, None] * SHARES[list(categories)][:, None]
    np.testing.assert_array_equal(answer.sources, expected)
    np.testing.assert_array_equal(answer.presence, np.tile(PRESENCE, (len(mixture), 1)))


@pytest.mark.parametrize("batch", [1, 4, 5, 13])
@pytest.mark.parametrize("categories", [[0], [2, 1], [0, 1, 2], [2, 0, 1]])
def test_any_batch_and_any_categories(engine, config, batch, categories):
    mixture = windows(config, batch)
    check(engine.separate(mixture, np.array(categories)), mixture, categories)


def test_no_categories_is_presence_alone(engine, config):
    answer = engine.separate(windows(config, 6), np.empty(0, np.int64))
    assert answer.sources.shape == (6, 0, config.window_samples)
    np.testing.assert_array_equal(answer.presence, np.tile(PRESENCE, (6, 1)))


def test_no_windows(engine, config):
    assert engine.separate(windows(config, 0), np.array([1])).sources.shape[0] == 0


def test_one_lane_copies_while_the_other_computes(engine, config, device, per_lane):
    engine.separate(windows(config, 12), np.array([0]))
    order = [call for call in device.log if call in ("record", "wait")]
    # Two are under way before the first is waited for, and the third begins before the second is.
    assert order == ["record", "record", "wait", "record", "wait", "wait"]
    assert device.live["context"] == 2 * per_lane


def test_single_windows_need_one_context(engine, config, device, per_lane):
    for seed in range(5):
        engine.separate(windows(config, 1, seed), np.array([0]))
    assert device.live["context"] == per_lane


def test_threads_never_share_a_context(engine, config, device, per_lane):
    start = threading.Barrier(8)

    def work(seed):
        start.wait()
        for turn in range(20):
            mixture = windows(config, 1 + turn % 6, 100 * seed + turn)
            categories = [[0], [2, 1], [0, 1, 2]][turn % 3]
            check(engine.separate(mixture, np.array(categories)), mixture, categories)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert device.live["context"] == 2 * per_lane


def test_a_thousand_windows_leave_nothing_behind(engine, config, device, nothing_left):
    mixture = windows(config, 1)
    for _ in range(20):
        engine.separate(mixture, np.array([0, 1]))
    held = dict(device.live)
    for turn in range(1000):
        engine.separate(mixture, np.array([turn % 3]))
    held["graph"] = device.live["graph"]
    assert dict(device.live) == held
    assert device.live["graph"] == 1
    engine.close()
    assert nothing_left() == {}


def test_an_engine_that_is_dropped_frees_all(bundle, model, config, nothing_left):
    engine = TensorRTEngine("tensorrt", bundle, model)
    engine.separate(windows(config, 9), np.array([0]))
    del engine
    assert nothing_left() == {}


@pytest.mark.parametrize("call", ["upload", "download", "record", "wait", "allocate"])
def test_after_an_error_the_next_window_runs_on_a_new_lane(
    call, engine, config, device, nothing_left, per_lane
):
    mixture = windows(config, 9)
    engine.separate(mixture, np.array([0]))
    device.fail = {call: device.counts[call] + 2}
    with pytest.raises(EngineError, match=call):
        for _ in range(3):
            engine.separate(windows(config, 9), np.array([0, 1]))
    device.fail = {}
    check(engine.separate(mixture, np.array([2])), mixture, [2])
    assert device.live["context"] <= 2 * per_lane
    engine.close()
    assert nothing_left() == {}


def test_a_second_lane_that_cannot_be_made_is_done_without(engine, config, module, per_lane):
    module.fail = {"create_execution_context": 1 + per_lane}
    mixture = windows(config, 9)
    check(engine.separate(mixture, np.array([0])), mixture, [0])


def test_numbers_that_are_not_finite_are_an_error(engine, config, module):
    module.poison = True
    with pytest.raises(EngineError, match="non-finite"):
        engine.separate(windows(config, 1), np.array([0]))


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_that_ends_leaves_the_gpu_to_its_parent(engine, config, device):
    """It may neither free what the parent uses, nor wait for a lock that nobody gives back."""
    engine.separate(windows(config, 1), np.array([1]))
    before = len(device.log)

    def end():
        engine.close()
        assert device.log[before:] == []

    assert in_fork(end) == "no error"
    engine.close()
    assert "free memory" in device.log[before:]


def test_after_close_is_an_error(engine, config):
    engine.close()
    with pytest.raises(EngineError, match="after close"):
        engine.separate(windows(config, 1), np.array([0]))


def test_they_come_first(engine):
    assert ENGINES[:2] == ("tensorrt", "tensorrt-rtx")


def test_without_an_engine_nothing_is_imported(bundle, monkeypatch):
    monkeypatch.setattr(engines, "load", None)
    monkeypatch.setattr(engines, "open_device", None)
    with pytest.raises(EngineError, match=r"Run `sgn-rt build .* --flavor tensorrt-rtx`"):
        open_tensorrt(bundle, name="tensorrt-rtx", flavor=Flavor.RTX, artifact=None)


def test_the_command_builds_the_engine_that_was_named(bundle):
    """Left to itself a build takes the best graph, which is another one."""
    steps = {
        "waveform.fp16": r"Run `sgn-rt build .* --kind waveform --precision fp16`",
        "waveform.fp32": r"Run `sgn-rt export .* BUNDLE .*--kind waveform --precision fp32`",
        "synthesis.fp16": r"Run `sgn-rt export ",
    }
    for name, step in steps.items():
        with pytest.raises(EngineError, match=f"without an engine of tensorrt for {name}.*{step}"):
            open_tensorrt(bundle, name=f"x:{name}", flavor=Flavor.TENSORRT, artifact=name)


def test_opens_the_best_that_fits(bundle, make_sidecar, machine, config):
    write_engine(bundle, make_sidecar(), CONTENT)
    write_engine(bundle, make_sidecar(name="other", gpus=("sm80",)), CONTENT)
    engine = open_tensorrt(bundle, name="tensorrt", flavor=Flavor.TENSORRT, artifact=None)
    assert engine.sidecar.name == "waveform.fp16.tensorrt.sm89"
    assert engine.detail == ("waveform.fp16.tensorrt.sm89 on Fake GPU, version 10.13.3.9, fake 1.0")
    mixture = windows(config, 2)
    check(engine.separate(mixture, np.array([1])), mixture, [1])


def test_another_machines_engine_names_both_and_the_rebuild(bundle, make_sidecar, machine):
    write_engine(bundle, make_sidecar(gpus=("sm86",), version=(10, 15)), CONTENT)
    machine(version=(11, 2), gpu="sm89")
    with pytest.raises(
        EngineError,
        match=r"built for sm86 / tensorrt 10\.15, this is sm89 / tensorrt 11\.2\. Run `sgn-rt ",
    ):
        open_tensorrt(bundle, name="tensorrt", flavor=Flavor.TENSORRT, artifact=None)


def test_kernels_timed_on_another_gpu_run_and_are_told(bundle, make_sidecar, machine, caplog):
    write_engine(bundle, make_sidecar(gpu_name="Fake GPU, twice the size"), CONTENT)
    open_tensorrt(bundle, name="tensorrt", flavor=Flavor.TENSORRT, artifact=None)
    (record,) = caplog.records
    assert "got kernels chosen by their times on Fake GPU, twice the size" in record.message
    assert f"sgn-rt build {bundle.root} --flavor tensorrt --kind waveform" in record.message
    caplog.clear()
    write_engine(bundle, make_sidecar(), CONTENT)
    open_tensorrt(bundle, name="tensorrt", flavor=Flavor.TENSORRT, artifact=None)
    assert caplog.records == []


def test_a_synthesis_alone_is_no_engine(bundle, make_sidecar, machine):
    """What a build leaves that could not be written to its end."""
    write_engine(bundle, make_sidecar(name="half", kind=Kind.SYNTHESIS), CONTENT)
    with pytest.raises(UnavailableError, match="got a bundle without an engine of tensorrt"):
        open_tensorrt(bundle, name="tensorrt", flavor=Flavor.TENSORRT, artifact=None)


def test_rebuild_on_request(bundle, make_sidecar, machine, monkeypatch):
    from sgn_rt.tensorrt.build import build_engines as plan

    write_engine(bundle, make_sidecar(version=(10, 8)), CONTENT)
    asked = []

    def build_into(opened, trt, request, *, device):
        asked.append(request)
        sidecar = make_sidecar()
        write_engine(opened, sidecar, CONTENT)
        return [sidecar]

    monkeypatch.setattr(plan, "build_into", build_into)
    monkeypatch.setenv(engines.REBUILD_VARIABLE, "1")
    engine = open_tensorrt(bundle, name="tensorrt", flavor=Flavor.TENSORRT, artifact=None)
    assert engine.sidecar.version == (10, 13, 3, 9)
    (request,) = asked
    assert (request.options.max_batch, request.options.max_sources) == (4, 2)


@pytest.mark.parametrize("content", [b"", b"an engjne", b"an engine and more"])
def test_a_damaged_engine_is_never_deserialised(content, bundle, make_sidecar, machine, module):
    write_engine(bundle, make_sidecar(), content)
    with pytest.raises(EngineError, match=hashlib.sha256(CONTENT).hexdigest()):
        open_tensorrt(bundle, name="tensorrt", flavor=Flavor.TENSORRT, artifact=None)
    assert module.counts["deserialize_cuda_engine"] == 0


def test_the_proof_of_the_first_start_is_written_down(bundle, make_sidecar, machine):
    from sgn_rt.model.contract import Precision
    from sgn_rt.model.stages import LIMITS, Stage, StageResult

    write_engine(bundle, make_sidecar(), CONTENT)
    engine = open_tensorrt(bundle, name="tensorrt", flavor=Flavor.TENSORRT, artifact=None)
    limit = LIMITS[Stage.WHOLE][Precision.FP16]
    engine.proved([StageResult(stage=Stage.WHOLE, figure=61.5, limit=limit)])
    (sidecar,) = read_sidecars(bundle)
    assert sidecar.proof["gpu"] == "Fake GPU"
    assert sidecar.proof["stages"]["whole"]["figure"] == 61.5


def test_falls_back_for_the_window_that_fails_and_from_then_on(engine, config, device):
    class Other:
        name = "other"
        detail = "for tests"

        def answer(self, windows, wanted, chosen, parts):
            return [("other's analysis", "other's answer")] * len(windows)

    guarded = GuardedEngine(
        ["tensorrt", "other"],
        lambda name: engine if name == "tensorrt" else Other(),
        lambda candidate: None,
        "fallback",
    )
    asked = (windows(config, 1), np.array([0]), np.array([0]), [Part(0, config.window_samples)])
    (answer,) = guarded.answer(*asked)
    assert answer.engine is engine
    device.fail = {"record": 2}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (answer,) = guarded.answer(*asked)
    assert (answer.sources, answer.engine.name) == ("other's answer", "other")
    assert [w.category for w in caught] == [ParityWarning]


def test_separators_share_weights_and_close_frees_them(
    bundle, make_sidecar, machine, module, device, config, nothing_left
):
    write_engine(bundle, make_sidecar(), CONTENT)
    opened = [
        Separator(bundle, Service(bundle, "tensorrt", "off", None, None), threads=1)
        for _ in range(2)
    ]
    assert (device.engines, module.counts["deserialize_cuda_engine"]) == (1, 1)
    signal = windows(config, 3).reshape(1, -1) / 8
    for separator in opened:
        found = separator.separate(signal, ["bell"], sample_rate=config.sample_rate, level="off")
        np.testing.assert_allclose(found.sources["bell"], signal * SHARES[0], atol=1e-6)
        separator.close()
        assert device.engines == (1 if separator is opened[0] else 0)
    del found
    assert nothing_left() == {}
