"""A separator on GPUs that are named: what one fails at goes to the next, and that is told."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

from sgn_rt import Separator
from sgn_rt.errors import ConfigError, DependencyError, EngineError, ParityWarning, UnavailableError

RATE = 8000


@pytest.fixture
def gpus(monkeypatch, fake_engine, config):
    """Engines by GPU, in the place of TensorRT's, and one of the CPU; says what was opened.

    An engine, or why it does not start.
    """

    def there_are(engines):
        opened = []

        def opener(spec, bundle, threads=None, *, device=None, gpu=None):
            opened.append((spec, device))
            if spec == "onnxruntime":
                return fake_engine(config, spec)
            found = engines.get(device) if spec == "tensorrt" else None
            if found is None:
                raise UnavailableError(f"{spec}: got no GPU {device}, expected one. Add it.")
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr("sgn_rt.engines.factory.open_engine", opener)
        monkeypatch.setattr("sgn_rt.parity.service.open_engine", opener)
        monkeypatch.setattr("sgn_rt.engines.devices.count_devices", lambda: len(engines))
        return opened

    return there_are


@pytest.fixture
def reference(fake_separator, noise):
    """What one engine makes of a recording."""
    signal = noise(2, 30_000)
    result = fake_separator().separator.separate(signal, sample_rate=RATE, residual=True)
    return signal, result


def same(result, reference) -> None:
    assert list(result.sources) == list(reference.sources)
    for name, source in reference.sources.items():
        np.testing.assert_array_equal(result.sources[name], source)


def breaking(first: int):
    """Fails from its call ``first`` on."""

    def fault(call, answer):
        if call >= first:
            raise EngineError("tensorrt: got an illegal memory access, expected a result. Do.")
        return answer

    return fault


@pytest.mark.parametrize("device", ["all", [0, 1, 2], (2, 0, 1)])
def test_windows_go_to_all_gpus_and_come_back_in_order(
    gpus, bundle_folder, fake_engine, config, reference, device
):
    engines = {n: fake_engine(config, "tensorrt", concurrency=2, batch=2) for n in range(3)}
    opened = gpus(engines)
    signal, expected = reference
    with Separator.open(bundle_folder, device=device, threads=1) as separator:
        assert sorted(opened) == [("tensorrt", n) for n in range(3)]
        assert (separator.engine.name, separator.engine.concurrency) == ("tensorrt", 6)
        result = separator.separate(signal, sample_rate=RATE, residual=True)
    same(result, expected)
    assert (result.replacements, list(result.windows)) == ((), ["tensorrt"])
    # The probe is one call of each; the windows are everybody's.
    assert min(engine.calls for engine in engines.values()) > 1


def test_all_gpus_are_at_work_at_once_whatever_processors_there_are(
    gpus, bundle_folder, fake_engine, config, noise
):
    """Who waits for a GPU takes no processor."""
    all_in = threading.Barrier(3, timeout=30)

    def meet(call, answer):
        if call == 1:  # the first is the probe
            all_in.wait()
        return answer

    gpus({n: fake_engine(config, "tensorrt", fault=meet) for n in range(3)})
    with Separator.open(bundle_folder, "tensorrt", device="all", threads=1) as separator:
        assert separator.separate(noise(1, 30_000), ["bell"], sample_rate=RATE).replacements == ()


def test_one_gpu_is_an_engine_of_its_own(gpus, bundle_folder, fake_engine, config):
    engine = fake_engine(config, "tensorrt")
    opened = gpus({1: engine})
    with Separator.open(bundle_folder, "tensorrt", device=1) as separator:
        assert separator.engine is engine
    assert opened == [("tensorrt", 1)]


def test_no_sample_is_lost_where_a_gpu_fails_and_it_is_told_once(
    gpus, bundle_folder, fake_engine, config, reference
):
    engines = {
        0: fake_engine(config, "tensorrt", fault=breaking(3)),
        1: fake_engine(config, "tensorrt"),
    }
    gpus(engines)
    signal, expected = reference
    with Separator.open(bundle_folder, "tensorrt", device="all") as separator:
        with pytest.warns(ParityWarning, match="GPU 0 of tensorrt is out of service") as caught:
            result = separator.separate(signal, sample_rate=RATE, residual=True)
        assert len(caught) == 1
        same(result, expected)
        (told,) = result.replacements
        assert told.startswith("GPU 0 of tensorrt is out of service, as tensorrt: got an illegal")
        assert result.to_dict()["engine"]["replacements"] == [told]
        assert list(result.windows) == ["tensorrt"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            same(separator.separate(signal, sample_rate=RATE, residual=True), expected)


def test_where_all_fail_the_cpu_takes_over(gpus, bundle_folder, fake_engine, config, reference):
    gpus({n: fake_engine(config, "tensorrt", fault=breaking(2 + n)) for n in range(2)})
    signal, expected = reference
    with Separator.open(bundle_folder, "tensorrt", device="all") as separator:
        with pytest.warns(ParityWarning) as caught:
            result = separator.separate(signal, sample_rate=RATE, residual=True)
        assert separator.engine.name == "onnxruntime"
    same(result, expected)
    lost, replaced = result.replacements
    assert "is out of service" in lost
    assert replaced.startswith("now onnxruntime, as tensorrt: got an illegal memory access")
    assert [str(each.message) for each in caught] == [lost, replaced]
    assert "onnxruntime" in result.windows


def test_many_streams_share_the_gpus(gpus, bundle_folder, fake_engine, config, noise):
    """Each in a thread of its caller; one GPU fails meanwhile."""
    engines = {n: fake_engine(config, "tensorrt") for n in range(3)}
    engines[1] = fake_engine(config, "tensorrt", fault=breaking(4))
    gpus(engines)
    signals = [noise(1, 20_000, seed=seed) for seed in range(4)]
    found: dict[int, np.ndarray] = {}

    def live(separator, number):
        stream = separator.stream(sample_rate=RATE, categories=["bell"])
        pieces = [stream.feed(signals[number][:, i : i + 3000]) for i in range(0, 20_000, 3000)]
        pieces.append(stream.flush())
        found[number] = np.concatenate([piece["bell"] for piece in pieces], axis=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Separator.open(bundle_folder, "tensorrt", device="all") as separator:
            threads = [threading.Thread(target=live, args=(separator, n)) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert [type(each.message) for each in caught] == [ParityWarning]
    gpus({0: fake_engine(config, "tensorrt")})
    with Separator.open(bundle_folder, "tensorrt", device=0) as separator:
        together = dict(found)
        for number in range(4):
            live(separator, number)
            np.testing.assert_array_equal(found[number], together[number])


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (EngineError("engine x: got one for sm86, expected sm89. Build it."), "does not start on"),
        ("probe", "is out of service, as tensorrt: parity stage"),
    ],
)
def test_a_gpu_that_does_not_start_or_is_not_proved_is_left_out_and_told(
    gpus, bundle_folder, fake_engine, config, reference, wrong, part
):
    def quieter(call, answer):
        return answer._replace(sources=answer.sources * np.float32(0.9))

    broken = fake_engine(config, "tensorrt", fault=quieter) if wrong == "probe" else wrong
    gpus({0: broken, 1: fake_engine(config, "tensorrt")})
    with pytest.warns(ParityWarning, match=part):
        separator = Separator.open(bundle_folder, device="all")
    with separator:
        assert list(separator.engine.engines) == [1]
        assert separator.parity
        result = separator.separate(reference[0], sample_rate=RATE, residual=True)
        same(result, reference[1])
        assert part in result.replacements[0]


def test_a_spot_check_takes_out_the_gpu_that_differs(
    gpus, bundle_folder, fake_engine, config, reference
):
    """Its numbers are finite: only a second engine tells."""

    def wrong(call, answer):
        if call == 0:  # the probe
            return answer
        return answer._replace(sources=answer.sources * np.float32(0.9))

    gpus({0: fake_engine(config, "tensorrt"), 1: fake_engine(config, "tensorrt", fault=wrong)})
    signal, expected = reference
    named = list(expected.present)
    with Separator.open(bundle_folder, "tensorrt", device="all", check_every=1) as separator:
        with pytest.warns(ParityWarning, match="GPU 1 of tensorrt is out of service, .*spot check"):
            result = separator.separate(signal, named, sample_rate=RATE, residual=True)
        assert list(separator.engine.engines) == [0]
    same(result, expected)


@pytest.mark.parametrize("parity", ["raise", "off"])
def test_where_nothing_is_replaced_a_gpu_that_fails_is_an_error(
    gpus, bundle_folder, fake_engine, config, noise, parity
):
    broken = EngineError("engine x: got one for sm86, expected sm89. Build it.")
    gpus({0: fake_engine(config, "tensorrt", fault=breaking(1)), 1: broken})
    with pytest.raises(EngineError, match="got one for sm86"):
        Separator.open(bundle_folder, "tensorrt", parity, device="all")
    gpus({0: fake_engine(config, "tensorrt", fault=breaking(1)), 1: fake_engine(config, "x")})
    with (
        Separator.open(bundle_folder, "tensorrt", parity, device="all") as separator,
        pytest.raises(EngineError, match="illegal memory access"),
    ):
        separator.separate(noise(1, 30_000), sample_rate=RATE)


@pytest.mark.parametrize("engine", ["onnxruntime", "torch", "onnxruntime:core.fp32"])
def test_an_engine_of_the_cpu_takes_no_device(bundle_folder, fails, engine):
    with fails(ConfigError, f"device: got 0 for {engine}", "runs on the CPU", "onnxruntime-cuda"):
        Separator.open(bundle_folder, engine, device=0)


def test_no_cpu_in_the_place_of_a_gpu_that_was_asked_for(gpus, bundle_folder, fails):
    gpus({})
    with fails(EngineError, "device: got 5, and no engine of a GPU", "got no GPU 5"):
        Separator.open(bundle_folder, device=5)
    with pytest.raises(UnavailableError, match="got no GPU 5"):
        Separator.open(bundle_folder, "tensorrt", device=5)


@pytest.mark.parametrize("device", [-1, "1", True, 1.0, [], [0, -1], ["all"], "every", {0}])
def test_what_is_no_device(gpus, bundle_folder, fails, device):
    gpus({})
    with fails(ConfigError, "device: got ", "expected the number of a GPU"):
        Separator.open(bundle_folder, device=device)


def test_a_device_named_twice(bundle_folder, fails):
    with fails(ConfigError, "device: got [1, 0, 1], expected each GPU once"):
        Separator.open(bundle_folder, device=[1, 0, 1])


def test_all_where_they_cannot_be_counted(gpus, bundle_folder, monkeypatch):
    gpus({})

    def missing():
        raise DependencyError("cuda-python: got none, expected it. Install it.")

    monkeypatch.setattr("sgn_rt.engines.devices.count_devices", missing)
    with pytest.raises(DependencyError, match="cuda-python"):
        Separator.open(bundle_folder, device="all")
