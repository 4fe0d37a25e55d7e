"""Several GPUs at once, one of them failing at any call: in the call, or when it is waited for."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sgn_rt._types import Part
from sgn_rt.engines import tensorrt as engines
from sgn_rt.engines.factory import open_on
from sgn_rt.engines.several import SeveralEngines
from sgn_rt.engines.tensorrt_engine import TensorRTEngine
from sgn_rt.tensorrt.bindings import Flavor, TensorRT
from sgn_rt.tensorrt.engine_files import write_engine
from sgn_rt.tensorrt.trust import TRUST_VARIABLE

from .conftest import CONTENT, pair_of
from .fakes import SHARES, FakeDevice, FakeTensorRT

CHOSEN = np.array([2, 0])


@pytest.fixture
def several(bundle, config, make_sidecar):
    """An engine on each of some devices."""

    def make(count: int = 2) -> SeveralEngines:
        engines, made = {}, [FakeDevice(ordinal) for ordinal in range(count)]
        for device in made:
            module = FakeTensorRT(device, config)
            trt = TensorRT(flavor=Flavor.TENSORRT, module=module, version=(10, 13, 3, 9))
            model = pair_of(trt, device, config, make_sidecar, 4)
            engines[device.dlpack_device[1]] = TensorRTEngine("tensorrt", bundle, model)
        together = SeveralEngines("tensorrt", engines)
        together.devices = made
        return together

    return make


def answered(engine, mixture, *, late: bool = False):
    """Sources of windows, one call each; found ``late``, behind the presence of all."""
    parts = [Part(0, mixture.shape[1])]
    if not late:
        calls = [engine.answer([window], CHOSEN, CHOSEN, parts) for window in mixture]
        return np.stack([heard for ((_, heard),) in calls])
    calls = [engine.answer([window], None, CHOSEN[:0], parts) for window in mixture]
    analyses = [analysis for ((analysis, _),) in calls]
    return np.stack(engine.hear(analyses, CHOSEN, parts * len(analyses)))


def expected(mixture):
    return mixture[:, None] * SHARES[CHOSEN][:, None]


def test_an_engine_is_opened_on_each_gpu_that_is_named(
    bundle, config, make_sidecar, monkeypatch, noise
):
    """Weights are shared by separators on a GPU, not between GPUs."""
    devices = [FakeDevice(ordinal) for ordinal in range(3)]
    modules = iter([FakeTensorRT(devices[ordinal], config) for ordinal in (2, 0)])
    monkeypatch.setattr(engines, "open_device", lambda ordinal: devices[ordinal])
    monkeypatch.setattr(
        engines,
        "load",
        lambda flavor: TensorRT(flavor=flavor, module=next(modules), version=(10, 13, 3, 9)),
    )
    monkeypatch.setenv(TRUST_VARIABLE, "1")
    write_engine(bundle, make_sidecar(), CONTENT)
    engine = open_on("tensorrt", bundle, None, (2, 0))
    assert list(engine.engines) == [2, 0]
    assert [device.engines for device in devices] == [1, 0, 1]
    mixture = noise(4, 1016)
    np.testing.assert_array_equal(answered(engine, mixture), expected(mixture))
    engine.close()


@pytest.mark.parametrize("late", [False, True])
def test_every_device_works(several, noise, late):
    engine, mixture = several(3), noise(6, 1016)
    np.testing.assert_array_equal(answered(engine, mixture, late=late), expected(mixture))
    assert min(device.counts["launch"] + device.log.count("execute") for device in engine.devices)
    assert len({device.log.count("execute") for device in engine.devices}) == 1


def calls_of(several, noise, late: bool) -> Counter[str]:
    """What one device is called for, in its second and third call."""
    engine = several(1)
    answered(engine, noise(1, 1016))
    (device,) = engine.devices
    before = Counter(device.counts)
    answered(engine, noise(2, 1016), late=late)
    return device.counts - before


@pytest.mark.parametrize("late", [False, True])
def test_a_failure_at_any_call_loses_no_sample(several, noise, late):
    calls = calls_of(several, noise, late)
    assert {"upload", "download", "record"} <= set(calls)
    mixture = noise(4, 1016)
    for name, count in calls.items():
        for nth in {1, count}:
            engine = several()
            answered(engine, noise(2, 1016))
            broken = engine.devices[0]
            broken.fail = {name: broken.counts[name] + nth}
            got = answered(engine, mixture, late=late)
            np.testing.assert_array_equal(got, expected(mixture), err_msg=f"{name} {nth}")
            assert len(engine.lost) <= 1


@pytest.mark.parametrize("late", [False, True])
def test_a_failure_that_shows_when_it_is_waited_for_loses_no_sample(several, noise, late):
    """And from then on everything on that device fails, its freeing too."""
    mixture, after = noise(4, 1016), 0
    while True:
        engine = several()
        answered(engine, noise(2, 1016))
        broken = engine.devices[0]
        after += 1
        broken.late = broken.worked + after
        np.testing.assert_array_equal(answered(engine, mixture, late=late), expected(mixture))
        if not engine.lost:
            break  # all its work was done before
        assert engine.lost[0].startswith("GPU 0 of tensorrt is out of service, as wait: got an")
        assert list(engine.engines) == [1]
    assert after > 5


@pytest.mark.parametrize("after", [1, 7, 23])
def test_threads_go_on_while_a_device_fails(several, noise, after):
    mixture, engine = noise(24, 1016), several(3)
    engine.devices[1].late = after
    for _ in range(20):  # which device gets how many is a matter of the threads
        with ThreadPoolExecutor(4) as threads:
            rows = list(threads.map(lambda window: answered(engine, window[None])[0], mixture))
        np.testing.assert_array_equal(np.stack(rows), expected(mixture))
        if engine.lost:
            break
    assert list(engine.engines) == [0, 2]
    assert len(engine.lost) == 1


def test_closing_frees_every_device(several, noise):
    engine = several(3)
    answered(engine, noise(6, 1016))
    engine.close()
    for device in engine.devices:
        held = {kind: count for kind, count in device.live.items() if count and kind != "context"}
        assert held == {}
