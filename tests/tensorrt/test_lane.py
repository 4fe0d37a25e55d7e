"""One lane on a fake device: shapes, addresses, lifetimes, graphs, errors at every call."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt._types import Part, to_float32
from sgn_rt.errors import EngineError
from sgn_rt.model.contract import Kind
from sgn_rt.tensorrt.bindings import Flavor, TensorRT
from sgn_rt.tensorrt.run.answers import AnswerPool
from sgn_rt.tensorrt.run.graphs import RETRY
from sgn_rt.tensorrt.run.lane import Lane
from sgn_rt.tensorrt.run.options import RunOptions
from sgn_rt.tensorrt.run.runtime import Call, LoadedEngine, Model
from sgn_rt.tensorrt.run.states import STATE, StatePool

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
    assert "wait" not in device.log
    assert "synchronize" not in device.log
    lane.collect()
    assert device.counts["wait"] == 1


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


def test_only_what_is_heard_comes_back(pair, make_lane, config, device):
    """The longest part of a batch, of the sources asked for; presence, and a flag a window."""
    lane, mixture = make_lane(pair), windows(config, 2)
    parts = [Part(100, 300, 0.5), Part(1016 - 50, 1016)]
    check(run(lane, mixture, [2, 0], parts), mixture, [2, 0], parts)
    assert device.moved["down"] == 4 * (2 * 2 * 200) + 4 * 2 * 3 + 4 * 2
    assert run(lane, mixture, []).heard == []
    assert device.moved["down"] == 4 * (2 * 2 * 200) + 4 * 2 * 3 + 4 * 2 + 4 * 2 * 3


@pytest.mark.parametrize("name", ["float16", "int16", "dithered-int16"])
def test_samples_come_in_the_format_asked_for(pair, make_lane, config, device, name):
    lane, mixture = make_lane(pair), windows(config, 2) / 8
    parts = [Part(5, 405, 2.0, name, 1000, 1), Part(0, 400, 2.0, name, 2000, 0)]
    outcome = run(lane, mixture, [1], parts)
    for heard, source, part in zip(outcome.heard, mixture * SHARES[1], parts, strict=True):
        expected = 2.0 * source[part.start : part.stop]
        assert heard.dtype == (np.float16 if name == "float16" else np.int16)
        error = np.abs(to_float32(heard[0]) - expected)
        most = {"float16": 2.0**-12, "int16": 2.0**-16, "dithered-int16": 1.5 * 2.0**-15}[name]
        assert 0 < error.max() <= most * 1.001
    assert device.moved["down"] == 2 * (2 * 400) + 4 * 2 * 3 + 4 * 2


def test_where_the_gpu_cannot_cut_the_host_does(whole, make_lane, config):
    lane, mixture = make_lane(whole), windows(config, 2)
    parts = [Part(100, 300, 0.5, "int16"), Part(1016 - 50, 1016)]
    check(run(lane, mixture, [2, 0], parts), mixture, [2, 0], parts)


@pytest.mark.parametrize("kind", ["pair", "whole"])
def test_which_window_is_not_finite_is_known(request, make_lane, config, kind):
    lane, mixture = make_lane(request.getfixturevalue(kind)), windows(config, 3)
    mixture[1, 700] = np.inf
    lane.submit(mixture, np.array([0]), [Part(0, 600)] * 3)  # it lies beyond what is heard
    assert lane.collect().finite.tolist() == [True, False, True]


def test_a_smaller_call_keeps_the_shape_in_use_once(lane, config, device, module):
    """The last of a recording has its graph; a live stream after it the kernels of its size."""
    for count in (4, 4, 4, 3):
        mixture = windows(config, count, count)
        check(run(lane, mixture, [1]), mixture, [1])
    assert (device.counts["capture"], device.counts["launch"]) == (1, 3)
    executed = {batch for _, batch, _ in module.executed}
    assert executed == {4}
    for _ in range(2):
        mixture = windows(config, 3, 9)
        check(run(lane, mixture, [1]), mixture, [1])
    assert {batch for _, batch, _ in module.executed} == {4, 3}
    run(lane, windows(config, 4), [1])
    parts = [Part(0, 10)] * 4
    check(run(lane, mixture := windows(config, 4, 5), [1], parts), mixture, [1], parts)


def test_kernels_are_those_chosen_for_the_batch(make_pair, make_lane, config, module):
    lane = make_lane(make_pair(2, 4))
    for count in (1, 2, 4, 1, 1, 4):
        mixture = windows(config, count)
        check(run(lane, mixture, [0, 2]), mixture, [0, 2])
    used = [(batch, profile) for kind, batch, profile in module.executed if kind == Kind.PLUGIN]
    assert used == [(1, 0), (2, 0), (4, 1), (4, 1), (1, 0), (4, 1)]


def test_a_profile_that_is_refused_is_an_error(make_pair, make_lane, config, module):
    lane = make_lane(make_pair(2, 4))
    module.fail = {"set_optimization_profile_async": 1}
    with pytest.raises(EngineError, match=r"plugin\.fp16.*got profile 1 refused"):
        run(lane, windows(config, 3), [0])


def test_states_are_kept_and_sources_made_of_them_without_the_network(
    pair, make_lane, config, device, module
):
    lane, mixture = make_lane(pair), windows(config, 4)
    with device.current():
        pool = StatePool(device, {n: pair.network.nbytes(n, Call(1, 0)) for n in STATE}, 1 << 21)
        held = pool.hold(4)
    lane.submit(mixture, np.array([0]), whole_parts(mixture), held)
    lane.collect()
    run(lane, windows(config, 4, 1), [0])
    module.executed.clear()
    with held.in_use() as slot:
        for rows, runs in (([2], 1), ([3, 0, 1], 2), ([2, 2, 0, 1], 3), ([0, 1, 2, 3], 1)):
            before = device.counts["copy"]
            parts = [Part(row, 900 + row) for row in rows]
            lane.again([(slot, row) for row in rows], np.array([2, 1]), parts)
            check(lane.collect(), mixture[rows], [2, 1], parts)
            assert device.counts["copy"] - before == runs * len(STATE)
    assert {kind for kind, _, _ in module.executed} == {Kind.SYNTHESIS}
    lane.submit(mixture[:3], np.array([0]), whole_parts(mixture[:3]))
    lane.collect()
    lane.again(None, np.array([1]), whole_parts(mixture[:3]))
    check(lane.collect(), mixture[:3], [1])


def test_presence_alone_is_the_network_alone(pair, make_lane, config, module):
    lane = make_lane(pair)
    assert run(lane, windows(config, 2), []).presence.shape == (2, 3)
    assert [kind for kind, _, _ in module.executed] == [Kind.PLUGIN]


def test_the_first_run_of_a_shape_disturbs_no_capture(model, lane, config, monkeypatch):
    held = []
    for half in {type(lane._network): lane._network}.values():
        execute = type(half).execute

        def watched(self, stream, execute=execute):
            held.append(model.network.lock.locked())
            execute(self, stream)

        monkeypatch.setattr(type(half), "execute", watched)
    for _ in range(3):
        run(lane, windows(config, 1), [0])
    assert held
    assert all(held)


@pytest.mark.parametrize("spin", [True, False])
def test_who_waits_sleeps_unless_told_to_spin(model, make_lane, config, device, spin):
    run(make_lane(model, spin=spin), windows(config, 1), [0])
    assert (device.counts["spin"], device.counts["wait"]) == (spin, not spin)


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
def test_no_context_is_an_error(pair, make_lane, module, device, nothing_left, number):
    module.fail = {"create_execution_context": number}
    with pytest.raises(EngineError, match=r"no execution context.*says no"):
        make_lane(pair)
    assert nothing_left() == {}
    assert device.wrong == []  # the other half's has ended with its device current


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
