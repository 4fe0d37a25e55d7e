"""What TensorRT may ask of the plugins, right or wrong: an answer, or a status and a message."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest

from sgn_rt.model.contract import PLUGIN_ATTRIBUTES, PLUGIN_NAMESPACE, PLUGIN_VERSION, PluginOp
from sgn_rt.tensorrt.plugins.build import package_version
from sgn_rt.tensorrt.plugins.kernels import Kernels

from . import harness

GEOMETRY = {"n_fft": 62, "hop_length": 16, "window_length": 60, "frequency_bins": 24}
FIELDS = {
    PluginOp.STFT: GEOMETRY | {"log_epsilon": 1e-5, "dtype": 10},
    PluginOp.ISTFT: GEOMETRY | {"samples": 1000},
}
FLOAT32, FLOAT16, INT32 = 0, 1, 3
FRAMES, BINS, LOG_BINS, SAMPLES = 63, 32, 24, 1000


@pytest.fixture
def shapes():
    """Inputs and outputs of an operation for a batch and a number of sources."""

    def make(op: PluginOp, batch: int = 2, sources: int = 3):
        of = harness.TensorDesc.of
        spectrum = of((batch, FRAMES, BINS, 2), FLOAT32)
        if op is PluginOp.STFT:
            return [of((batch, SAMPLES), FLOAT32)], [
                spectrum,
                of((batch, 1, LOG_BINS, FRAMES), FLOAT16),
            ]
        masks = of((batch, sources, LOG_BINS, FRAMES), FLOAT16)
        return [spectrum, masks], [of((batch, sources, SAMPLES), FLOAT32)]

    return make


def arrays(op: PluginOp, batch: int = 2, sources: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(batch * 31 + sources)
    if op is PluginOp.STFT:
        return [rng.standard_normal((batch, SAMPLES), np.float32)]
    spectrum = rng.standard_normal((batch, FRAMES, BINS, 2), np.float32)
    return [spectrum, rng.random((batch, sources, LOG_BINS, FRAMES), np.float32).astype(np.float16)]


both = pytest.mark.parametrize("op", list(PluginOp))


def test_version_is_the_packages(host) -> None:
    assert host.lib.sgn_rt_plugin_version().decode() == package_version()


@both
def test_creator_is_the_contracts(op: PluginOp, host) -> None:
    creator = host.creator(op)
    assert host.lib.sgn_test_creator_namespace(creator).decode() == PLUGIN_NAMESPACE
    assert host.lib.sgn_test_creator_version(creator).decode() == PLUGIN_VERSION
    names = (harness.Field * 16)()
    count = host.lib.sgn_test_field_names(creator, names, 16)
    kinds = {int: harness.FIELD_INT32, float: harness.FIELD_FLOAT32}
    declared = {field.name.decode(): field.type for field in names[:count]}
    assert declared == {name: kinds[kind] for name, kind in PLUGIN_ATTRIBUTES[op].items()}


@both
def test_attributes_survive_clone_and_serialisation(op: PluginOp, host) -> None:
    with host.create(op, FIELDS[op]) as node, node.clone() as twin:
        stored = twin.serialised()
        assert stored == pytest.approx(FIELDS[op])
        with host.create(op, stored, phase=1) as again, again.attach() as attached:
            assert attached.serialised() == stored


@both
def test_window_length_defaults_to_n_fft(op: PluginOp, host) -> None:
    fields = {name: value for name, value in FIELDS[op].items() if name != "window_length"}
    with host.create(op, fields) as node:
        assert node.serialised()["window_length"] == 62


def wrong_fields(op: PluginOp):
    """Name of the field changed, what becomes of it (None: left out)."""
    raw = harness.RawField
    for name, kind in PLUGIN_ATTRIBUTES[op].items():
        good = harness.raw(FIELDS[op][name])
        if name != "window_length":
            yield name, None
        for other in range(-1, 16):
            if other != good.type:
                yield name, raw(other, 1, good.data * 4)
        for length in (-(2**31), -1, 0, 2, 2**31 - 1):
            yield name, raw(good.type, length, good.data * 2)
        yield name, raw(good.type, 1, None)
        numbers = (
            (-(2**31), -1, 0, 1 << 30, 2**31 - 1, np.float32(62.0).view(np.int32).item())
            if kind is int
            else (float("nan"), float("inf"), float("-inf"), -1e-5, 0.0, 1.5, 1e-45)
        )
        for number in numbers:
            if not (name == "samples" and number == 1 << 30):
                yield name, harness.raw(number)
    # Each possible alone, impossible together.
    yield "hop_length", harness.raw(31)
    yield "window_length", harness.raw(63)
    yield "window_length", harness.raw(31)
    if op is PluginOp.STFT:
        yield from (("dtype", harness.raw(code)) for code in (2, 7, 9, 11, 16))
    else:
        yield "samples", harness.raw(31)


@both
def test_wrong_attributes_are_refused_by_name(op: PluginOp, host) -> None:
    count = 0
    for name, wrong in wrong_fields(op):
        pairs = [(key, harness.raw(value)) for key, value in FIELDS[op].items() if key != name]
        if wrong is not None:
            pairs.insert(count % (len(pairs) + 1), (name, wrong))
        with pytest.raises(harness.RefusedError) as refusal:
            host.create(op, pairs).__exit__()
        # An impossible pair may be laid to either of the two.
        assert any(
            f"attribute {key}" in str(refusal.value) for key in {name, "hop_length", "samples"}
        ), (name, wrong)
        assert ": got " in str(refusal.value)
        assert ", expected " in str(refusal.value)
        count += 1
    assert count > 100


@both
def test_unknown_and_repeated_attributes_are_refused(op: PluginOp, host) -> None:
    pairs = [(key, harness.raw(value)) for key, value in FIELDS[op].items()]
    for extra in (
        ("n_fft", harness.raw(62)),
        ("unknown", harness.raw(1)),
        ("", harness.raw(1)),
        ("x" * 5000, harness.raw(1)),
    ):
        with pytest.raises(harness.RefusedError, match="every declared attribute once"):
            host.create(op, [*pairs, extra])


@both
@pytest.mark.parametrize("count", [-1, -2, 3, 0])
def test_a_broken_collection_is_refused(op: PluginOp, count: int, host) -> None:
    host.lib.sgn_test_begin()
    assert host.lib.sgn_test_create_from(host.creator(op), count, None) is None
    assert "attribute" in host.message()


@both
def test_random_attributes_never_crash(op: PluginOp, host) -> None:
    """What is accepted must also work: shapes, workspace and one call."""
    rng = np.random.default_rng(20)
    accepted = refused = 0
    names = [*PLUGIN_ATTRIBUTES[op], "other"]
    for _ in range(4000):
        fields = dict(FIELDS[op]) if rng.random() < 0.8 else {}
        pairs = [(name, harness.raw(value)) for name, value in fields.items()]
        for _ in range(rng.integers(0, 4)):
            name = str(rng.choice(names))
            if rng.random() < 0.6:
                kind = PLUGIN_ATTRIBUTES[op].get(name, int)
                value = (
                    int(rng.integers(1, 200)) if kind is int else float(10.0 ** rng.uniform(-30, 2))
                )
                field = harness.raw(value)
            else:
                length = int(rng.choice([1, 1, 1, 0, 2, -1, 1 << 20]))
                field = harness.RawField(
                    int(rng.integers(-2, 20)), length, rng.bytes(16) if rng.random() < 0.9 else None
                )
            pairs = [pair for pair in pairs if pair[0] != name] if rng.random() < 0.9 else pairs
            pairs.append((name, field))
        try:
            node = host.create(op, pairs)
        except harness.RefusedError:
            assert host.message().startswith(f"[sgn-rt plugins] {op}: attribute")
            refused += 1
            continue
        accepted += 1
        with node:
            stored = node.serialised()
            if max(stored["n_fft"], stored["frequency_bins"], stored.get("samples", 0)) > 4000:
                continue
            samples = int(stored.get("samples", stored["n_fft"] + 5))
            frames = (samples + 2 * (stored["n_fft"] // 2) - stored["n_fft"]) // stored[
                "hop_length"
            ] + 1
            bins = stored["n_fft"] // 2 + 1
            given = (
                [np.ones((1, samples), np.float32)]
                if op is PluginOp.STFT
                else [
                    np.ones((1, frames, bins, 2), np.float32),
                    np.ones((1, 1, stored["frequency_bins"], frames), np.float16),
                ]
            )
            with node.attach() as attached:
                for output in attached.run(*given):
                    assert np.isfinite(output).all()
    assert accepted > 300
    assert refused > 300


@both
def test_formats(op: PluginOp, host, shapes) -> None:
    """float32 everywhere, float16 where the network is, all linear."""
    inputs, outputs = shapes(op)
    network = {PluginOp.STFT: 2, PluginOp.ISTFT: 1}[op]
    with host.create(op, FIELDS[op]) as node:
        for position, kind, layout in itertools.product(range(3), range(11), range(13)):
            tensors = [*inputs, *outputs]
            tensors[position] = harness.TensorDesc.of(tensors[position].shape, kind)
            tensors[position].format = layout
            allowed = {FLOAT32}
            if position == network:
                allowed = {FLOAT16} if op is PluginOp.STFT else {FLOAT32, FLOAT16}
            wanted = kind in allowed and layout == 0
            assert node.supports(position, tensors, len(inputs)) == wanted, (position, kind, layout)
        for position in (-1, 3, 100):
            assert not node.supports(position, [*inputs, *outputs], len(inputs))
        assert not node.supports(0, [*inputs, *outputs], 3)


@both
def test_wrong_inputs_are_refused(op: PluginOp, host, shapes) -> None:
    inputs, outputs = shapes(op)
    of = harness.TensorDesc.of
    with host.create(op, FIELDS[op]) as node:
        assert [desc.shape for desc in node.infer(inputs)] == [desc.shape for desc in outputs]
        for wrong in (
            [of(inputs[0].shape, FLOAT16), *inputs[1:]],
            [of(inputs[0].shape, INT32), *inputs[1:]],
            [of((2, 3, 4), FLOAT32), *inputs[1:]],
            [*inputs, inputs[0]],
        ):
            with pytest.raises(harness.RefusedError, match="expected"):
                node.infer(wrong)
        with pytest.raises(harness.RefusedError, match="outputs"):
            node.infer(inputs, outputs=3 - len(inputs) + 2)


@both
def test_wrong_dimensions_are_refused(op: PluginOp, host, shapes) -> None:
    """Each dimension of each tensor in turn, when configured and at run time; unknown ones pass."""
    inputs, outputs = shapes(op)
    with host.create(op, FIELDS[op]) as node, node.attach() as attached:
        node.configure(inputs, outputs)
        attached.shape_change(inputs, outputs)
        for which, tensor in enumerate([*inputs, *outputs]):
            for axis in range(len(tensor.shape)):
                for change in (1, -10_000):
                    shape = list(tensor.shape)
                    shape[axis] += change
                    tensors = [*inputs, *outputs]
                    tensors[which] = harness.TensorDesc.of(shape, tensor.type)
                    if op is PluginOp.STFT and (which, axis, change) == (0, 1, 1):
                        continue  # one sample more is as many frames
                    for call in (node.configure, attached.shape_change):
                        with pytest.raises(harness.RefusedError, match=r"got .*, expected"):
                            call(tensors[: len(inputs)], tensors[len(inputs) :])
        unknown = [
            harness.TensorDesc.of((-1, *desc.shape[1:]), desc.type) for desc in [*inputs, *outputs]
        ]
        node.configure(unknown[: len(inputs)], unknown[len(inputs) :])


@both
def test_enqueue_neither_allocates_nor_plans(op: PluginOp, host) -> None:
    with host.create(op, FIELDS[op]) as node, node.attach() as attached:
        attached.run(*arrays(op))
        spent_before = host.counters.fft_setup
        attached.run(*arrays(op))
        assert host.counters.fft_setup == spent_before, "a known shape made a plan again"
        spent = attached.spent
        assert (spent.device_calls, spent.fft_setup, spent.plans_alive) == (0, 0, 0)
        if host.counters.heap >= 0:
            assert host.counters.heap > 0, "the counter of heap allocations does not count"
            assert spent.heap == 0


@both
def test_shapes_come_and_go(op: PluginOp, host) -> None:
    """Every shape gives the same bits whatever was run before it, and on a fresh context."""
    seen: dict[tuple[int, int], list[np.ndarray]] = {}
    order = [(1, 1), (4, 3), (2, 11), (1, 1), (16, 2), (4, 3), (2, 11), (3, 4)]
    with host.create(op, FIELDS[op]) as node, node.attach() as attached:
        for batch, sources in order:
            outputs = attached.run(*arrays(op, batch, sources))
            with node.attach() as fresh:
                for got, want in zip(outputs, fresh.run(*arrays(op, batch, sources)), strict=True):
                    np.testing.assert_array_equal(got, want)
            for got, want in zip(outputs, seen.setdefault((batch, sources), outputs), strict=True):
                np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("op", "batch", "sources"),
    [(PluginOp.STFT, 0, 0), (PluginOp.ISTFT, 0, 3), (PluginOp.ISTFT, 2, 0), (PluginOp.ISTFT, 0, 0)],
)
def test_empty_tensors_are_no_work(op: PluginOp, batch: int, sources: int, host, shapes) -> None:
    inputs, outputs = shapes(op, batch, sources)
    with host.create(op, FIELDS[op]) as node, node.attach() as attached:
        attached.shape_change(inputs, outputs)
        attached.enqueue(inputs, outputs, [0] * len(inputs), [0] * len(outputs), None)
        assert attached.workspace(inputs, outputs) < 1 << 22
        for output, desc in zip(attached.run(*arrays(op, batch, sources)), outputs, strict=True):
            assert output.shape == desc.shape


@both
def test_workspace_is_monotonic_and_bounded(op: PluginOp, host, shapes) -> None:
    with host.create(op, FIELDS[op]) as node:
        sizes = [node.workspace(*shapes(op, batch, 3)) for batch in range(1, 400)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[50]
    assert sizes[-1] < (4 << 20) + (2 << 20)  # csrc/CMakeLists.txt makes a chunk 4 MiB


@both
def test_a_plan_that_wants_more_memory_brings_it(op: PluginOp, host, host_library) -> None:
    """cuFFT's real work area may exceed the estimate made without a GPU."""
    with host.create(op, FIELDS[op]) as node:
        with node.attach() as attached:
            wanted = attached.run(*arrays(op))
        host.settings.work_bytes = 64 << 20
        with node.attach() as attached:
            alive = host.counters.device_alive
            for got, want in zip(attached.run(*arrays(op)), wanted, strict=True):
                np.testing.assert_array_equal(got, want)
            assert host.counters.device_alive == alive + 1
            assert attached.spent.device_calls == 0
            work = Kernels(host_library).fft_work()
            assert work.wanted_bytes == 64 << 20 > work.reserved_bytes > 0 < work.rows


@both
def test_plans_of_a_context_share_what_they_want_beside(op: PluginOp, host, shapes) -> None:
    """One buffer that grows by doubling, whatever the number of shapes; graphs refer to the old."""
    with host.create(op, FIELDS[op]) as node, node.attach() as attached:
        alive = host.counters.device_alive
        grown = []
        for batch in range(1, 40):
            host.settings.work_bytes = (64 << 20) + (batch << 20)
            attached.shape_change(*shapes(op, batch, 3))
            grown.append(host.counters.device_alive - alive)
    assert grown == [1, *[2] * 38]


@both
def test_chunks_fit_the_cache_of_the_device(op: PluginOp, host, shapes) -> None:
    """Fewer rows at once where the cache is small, to the same bits, in the same workspace."""
    inputs, outputs = shapes(op, 100, 3)
    given = arrays(op, 100, 3)
    runs, results, rooms = [], [], []
    for cache in (0, 100_000, 2 << 20, 1 << 40):
        host.settings.cache_bytes = cache
        with host.create(op, FIELDS[op]) as node, node.attach() as attached:
            rooms.append(attached.workspace(inputs, outputs))
            results.append(attached.run(*given))
            runs.append(attached.spent.fft_runs)
    # Nothing is known, a cache too small for even one useful chunk, one that is not, a large one.
    assert runs[0] == runs[1] == runs[3] < runs[2]
    assert len(set(rooms)) == 1
    for other in results[1:]:
        for got, want in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(got, want)


@both
@pytest.mark.parametrize("failure", ["allocation", "load", "cufftCreate", "cufftMakePlanMany64"])
def test_failures_of_the_device_are_statuses(op: PluginOp, failure: str, host, shapes) -> None:
    inputs, outputs = shapes(op)
    with host.create(op, FIELDS[op]) as node:
        if failure == "load":
            host.settings.fail_load = 1
            with pytest.raises(harness.RefusedError, match=r"CUDA error 209.*code for this GPU"):
                node.attach()
            host.settings.fail_load = 0
        if failure == "allocation":
            host.settings.fail_allocation = 1
            with pytest.raises(harness.RefusedError, match="out of memory"):
                node.attach()
            host.settings.fail_allocation = 0
        with node.attach() as attached:
            if failure.startswith("cufft"):
                host.settings.fail_fft = 1 if failure == "cufftCreate" else 2
                with pytest.raises(harness.RefusedError, match=f"{failure}: got cufftResult 5"):
                    attached.shape_change(inputs, outputs)
                host.settings.fail_fft = 0
            attached.run(*arrays(op))  # a failure leaves nothing behind


@both
def test_enqueue_out_of_order_is_refused(op: PluginOp, host, shapes) -> None:
    inputs, outputs = shapes(op)
    memory = ctypes.create_string_buffer(1024)
    odd = ctypes.addressof(memory) // 256 * 256 + 256 + 4
    even = odd - 4
    with host.create(op, FIELDS[op]) as node:
        with pytest.raises(harness.RefusedError, match="attachToContext"):
            node.enqueue(inputs, outputs, [even] * 2, [even] * 2, even)
        with node.attach() as attached:
            with pytest.raises(harness.RefusedError, match="announced by onShapeChange"):
                attached.enqueue(inputs, outputs, [even] * 2, [even] * 2, even)
            attached.shape_change(inputs, outputs)
            for read, written, work in (
                ([odd] * 2, [even] * 2, even),
                ([even] * 2, [odd] * 2, even),
                ([even] * 2, [even] * 2, odd),
                ([0] * 2, [even] * 2, even),
                ([even] * 2, [0] * 2, even),
                ([even] * 2, [even] * 2, 0),
            ):
                with pytest.raises(harness.RefusedError, match="aligned to 256 bytes"):
                    attached.enqueue(inputs, outputs, read, written, work)


def test_many_windows_are_refused_not_truncated(host) -> None:
    """More than a grid's y dimension can count."""
    of = harness.TensorDesc.of
    with host.create(PluginOp.STFT, FIELDS[PluginOp.STFT]) as node:
        inputs = [of((65536, SAMPLES), FLOAT32)]
        with pytest.raises(harness.RefusedError, match="batch: got 65536"):
            node.configure(
                inputs, [of((65536, FRAMES, BINS, 2), 0), of((65536, 1, LOG_BINS, FRAMES), 1)]
            )
