"""One lane on a fake device: shapes, addresses, lifetimes, graphs, errors at every call."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt._types import Part
from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.bindings import Flavor, TensorRT
from sgn_rt.tensorrt.run.answers import AnswerPool
from sgn_rt.tensorrt.run.lane import RETRY, Lane
from sgn_rt.tensorrt.run.options import RunOptions
from sgn_rt.tensorrt.run.runtime import LoadedEngine, Model

from .fakes import PRESENCE, SHARES


@pytest.fixture
def answers(device):
    return AnswerPool(device, 1 << 20)


@pytest.fixture
def make_lane(answers):
    return lambda model, **options: Lane(model, answers, RunOptions(**options))


@pytest.fixture
def nothing_left(answers, nothing_left):
    def count():
        answers.close()
        return nothing_left()

    return count


@pytest.fixture
def lane(model, make_lane):
    return make_lane(model)


def windows(config, count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, config.window_samples)).astype(np.float32)


def check(outcome, mixture, categories, parts=None):
    expected = mixture[:, None] * SHARES[list(categories)][:, None]
    if outcome.presence is not None:
        np.testing.assert_array_equal(outcome.presence, np.tile(PRESENCE, (len(mixture), 1)))
    assert outcome.finite.tolist() == [True] * len(mixture)
    for heard, sources, part in zip(
        outcome.heard, expected, parts or whole_parts(mixture), strict=True
    ):
        np.testing.assert_array_equal(heard, sources[:, part.start : part.stop] * part.gain)


def whole_parts(mixture):
    return [Part(0, mixture.shape[1])] * len(mixture)


def run(lane, mixture, categories, parts=None):
    lane.submit(mixture, np.array(categories, np.int64), parts or whole_parts(mixture))
    return lane.collect()


def test_answers_are_of_the_call_whatever_was_called_before(lane, config):
    for seed, (count, categories) in enumerate(
        [(1, [0]), (4, [2, 1]), (1, [1]), (2, [0, 2]), (4, [0, 1]), (1, [2]), (1, [0])] * 2
    ):
        mixture = windows(config, count, seed)
        check(run(lane, mixture, categories), mixture, categories)


def test_nothing_waits_in_submit(lane, config, device):
    lane.submit(windows(config, 1), np.array([0]), [Part(0, 9)])
    assert lane.is_waiting
    assert "wait" not in device.log
    assert "synchronize" not in device.log
    lane.collect()
    assert not lane.is_waiting


def test_an_answer_is_a_copy(lane, config):
    first = windows(config, 1, 1)
    answer = run(lane, first, [0])
    run(lane, windows(config, 1, 2), [0])
    check(answer, first, [0])


def test_the_second_call_of_a_shape_is_a_graph(model, lane, config, device):
    for seed in range(3):
        mixture = windows(config, 1, seed)
        check(run(lane, mixture, [seed]), mixture, [seed])
    assert (device.counts["capture"], device.counts["launch"]) == (1, 2)
    engines = len({model.network, model.last})
    assert device.log.count("execute") == 2 * engines  # the first call, and once into the graph


def test_graphs_go_when_memory_moves(lane, config, device):
    for _ in range(2):
        run(lane, windows(config, 1), [0])
    assert device.live["graph"] == 1
    mixture = windows(config, 3)
    check(run(lane, mixture, [1]), mixture, [1])
    assert device.live["graph"] == 0
    mixture = windows(config, 1, 5)
    check(run(lane, mixture, [0]), mixture, [0])


def test_a_graph_goes_with_its_shape(lane, device, config):
    for turn in range(3):
        for batch, count in [(4, 2), (1, 1), (4, 1), (4, 2)]:
            for seed in range(1 + turn):
                mixture = windows(config, batch, seed)
                check(run(lane, mixture, range(count)), mixture, range(count))
            # Captured by the second call of a shape in a row, and never more than the one.
            follows = (turn, batch, count) != (0, 4, 2) and turn > 0
            assert lane.has_graph == follows
            assert device.live["graph"] == follows
    assert lane.graph_failure is None


def test_no_context_is_made_while_a_graph_is_captured(model, lane, device, config, monkeypatch):
    run(lane, windows(config, 1), [0])
    held = []
    capture = device.capture

    def watched(stream, work):
        held.append(model.network.lock.locked())
        return capture(stream, work)

    monkeypatch.setattr(device, "capture", watched)
    run(lane, windows(config, 1), [0])
    assert held == [True]
    assert not model.network.lock.locked()


@pytest.mark.parametrize("graphs", [True, False])
def test_without_capture_it_runs_call_by_call(model, make_lane, device, config, graphs):
    device.can_capture = not graphs
    lane = make_lane(model, graphs=graphs)
    for seed in range(3):
        mixture = windows(config, 1, seed)
        check(run(lane, mixture, [1]), mixture, [1])
    assert device.counts["capture"] == 0


def test_a_capture_that_fails_is_done_without_and_tried_again_later(lane, config, device):
    device.fail = {"capture": 1}
    for seed in range(2 + RETRY):
        mixture = windows(config, 1, seed)
        check(run(lane, mixture, [1]), mixture, [1])
    assert (device.counts["capture"], lane.has_graph) == (1, False)
    assert "capture" in lane.graph_failure
    check(run(lane, mixture, [1]), mixture, [1])
    assert (device.counts["capture"], lane.has_graph) == (2, True)


@pytest.mark.parametrize("version_compatible", [False, True])
def test_only_a_version_compatible_engine_may_bring_host_code(
    trt, module, device, config, make_sidecar, version_compatible
):
    sidecar = make_sidecar(version_compatible=version_compatible)
    LoadedEngine(trt, device, config, sidecar, b"x", None)
    assert getattr(module, "engine_host_code_allowed", False) == version_compatible


def test_rtx_leaves_graphs_to_the_lane(module, device, config, make_sidecar, make_lane):
    trt = TensorRT(flavor=Flavor.RTX, module=module, version=(1, 7, 1))
    loaded = LoadedEngine(trt, device, config, make_sidecar(), b"x", None)
    lane = make_lane(Model(device, loaded))
    for _ in range(3):
        run(lane, windows(config, 1), [0])
    assert device.counts["capture"] == 1
    assert [each.cuda_graph_strategy for each in module.configs] == ["disabled"]


def test_close_frees_all_even_with_work_under_way(lane, config, device, nothing_left):
    run(lane, windows(config, 2), [0, 1])
    run(lane, windows(config, 2), [0, 1])
    lane.submit(windows(config, 1), np.array([0]), [Part(0, 9)])
    lane.close()
    lane.close()
    assert nothing_left() == {}


@pytest.mark.parametrize(
    "call",
    ["allocate", "allocate pinned", "stream", "event", "upload", "download", "record", "wait"],
)
@pytest.mark.parametrize("number", [1, 2])
def test_every_failing_device_call_is_an_error_and_frees_all(
    call, number, model, make_lane, device, config, nothing_left
):
    device.fail = {call: number}
    lane = None
    with pytest.raises(EngineError, match=call):
        for _ in range(2):
            lane = make_lane(model)
            for count in (1, 3):
                run(lane, windows(config, count), [0])
            lane.close()
    if lane is not None:
        lane.close()
    del lane
    assert nothing_left() == {}


@pytest.mark.parametrize(
    "call", ["set_input_shape", "set_tensor_address", "infer_shapes", "get_tensor_shape",
             "execute_async_v3"],
)  # fmt: skip
@pytest.mark.parametrize("number", [1, 2])
def test_every_false_of_tensorrt_is_an_error(
    call, number, lane, device, module, config, nothing_left
):
    module.fail = {call: number}
    with pytest.raises(EngineError, match=r"engine \w+\.fp16.*got .*expected it to run"):
        for count in (1, 2):
            run(lane, windows(config, count), [0])
    module.fail = {}
    lane.close()
    del lane
    assert nothing_left() == {}


def test_shape_inference_that_raises_is_an_error(lane, module, config):
    module.fail = {"infer_shapes": -1}
    with pytest.raises(EngineError, match="shape inference failed"):
        run(lane, windows(config, 1), [0])


@pytest.mark.parametrize("number", [1, 2])
def test_no_context_is_an_error(pair, make_lane, module, nothing_left, number):
    module.fail = {"create_execution_context": number}
    with pytest.raises(EngineError, match=r"no execution context.*says no"):
        make_lane(pair)
    assert nothing_left() == {}


@pytest.mark.parametrize("call", ["Runtime", "deserialize_cuda_engine"])
def test_an_engine_that_does_not_load_names_the_rebuild(
    call, trt, module, device, config, make_sidecar
):
    module.fail = {call: 1}
    with pytest.raises(EngineError, match="Run `sgn-rt build BUNDLE --flavor tensorrt "):
        LoadedEngine(trt, device, config, make_sidecar(), b"x", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": ("INT32", "INPUT")}, "categories of type INT32 instead of INT64"),
        ({"sources": ("HALF", "OUTPUT")}, "sources of type HALF instead of FLOAT"),
        ({"sources": ("FLOAT", "INPUT")}, "sources as INPUT"),
        ({"masks": ("FLOAT", "OUTPUT")}, "tensors .*masks.* instead of"),
    ],
)
def test_an_engine_of_something_else_is_refused(
    change, message, trt, module, device, config, make_sidecar
):
    module.changes = change
    with pytest.raises(EngineError, match=message):
        LoadedEngine(trt, device, config, make_sidecar(), b"x", None)
