"""What tests of several folders share: small models, engines wrong on purpose, bundles."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

import sgn_rt
from sgn_rt._types import Masked, Separated
from sgn_rt.engines.base import Engine, MaskEngine, MasksAtOnce, WholeEngine
from sgn_rt.engines.guarded import GuardedEngine
from sgn_rt.errors import EngineError, SgnError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import (
    BUNDLE_MANIFEST,
    BUNDLE_PROBE,
    BUNDLE_SCHEMA,
    CHECKPOINT_CONFIG_KEY,
    Precision,
)
from sgn_rt.model.manifest import DIGEST_KEY, digest_of
from sgn_rt.model.probe import Probe
from sgn_rt.model.safetensors_file import write as write_safetensors
from sgn_rt.model.sgn_config import SgnConfig
from sgn_rt.parity.measure import shares
from sgn_rt.separator import Separator
from sgn_rt.tensorrt.bindings import Flavor, TensorRT, is_installed, load

ROOT = Path(sgn_rt.__file__).parent
DATA = Path(__file__).parent / "data"

# Programs that tests start import the package that is installed, as the tests do, whatever the
# working folder: in a checkout two folders of the package lie beside it.
os.environ["PYTHONSAFEPATH"] = "1"

# Where the tests run in the background of a shell, Ctrl-C is ignored; programs that they start and
# interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more of the machine than of what is tested.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where processes share the tests, a folder stays in one: it shares what it has built.

    Not by marks of groups: pytest-xdist 3.8 adds them to the names of tests, where pytest 9.2 does
    not look.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return folder_of(nodeid)

    return ByFolder(config, log) if config.getoption("dist") == "loadscope" else None


def folder_of(nodeid: str) -> str:
    """The folder of a test."""
    return nodeid.partition("::")[0].rpartition("/")[0]


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Iterator[None]:
    """What pytest-xdist sends between processes is UTF-8, which names of files need not be."""
    data = yield
    return _in_utf_8(data)


def _in_utf_8(value: Any) -> Any:
    """A report with what is no text in UTF-8 escaped."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_in_utf_8(key): _in_utf_8(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_in_utf_8, value))
    return value


@pytest.fixture(scope="session")
def checkpoint_path() -> Path:
    """The published checkpoint."""
    return ROOT / "data" / "instruments" / "checkpoint.safetensors"


@pytest.fixture(scope="session")
def instruments(checkpoint_path: Path):
    """The published network."""
    reference = pytest.importorskip("sgn_rt.reference", exc_type=ImportError)
    return reference.load(checkpoint_path)


@pytest.fixture(scope="session")
def golden() -> dict[str, NDArray]:
    """Window 0 of the published golden tensors (see tests/data/README.md)."""
    with np.load(DATA / "golden.npz") as file:
        return dict(file)


def _small_config(**changes) -> SgnConfig:
    """A network small enough to export in a second or two."""
    values = {
        "sample_rate": 8000,
        "n_fft": 254,
        "hop_length": 64,
        "frequency_bins": 128,
        "frames": 128,
        "log_epsilon": 1e-5,
        "encoder_channels": (4, 6, 8, 8, 8, 8, 8),
        "mask_basis": 4,
        "token_level": 4,
        "embedding_dim": 16,
        "transformer_depth": 1,
        "attention_heads": 2,
        "categories": ("bell", "drum", "horn"),
    } | changes
    samples = (values["frames"] - 1) * values["hop_length"]
    return SgnConfig(**({"window_samples": samples} | values))


@pytest.fixture(scope="session")
def small_config() -> Callable[..., ModelConfig]:
    """Builds a small configuration; keywords change it, window_samples follows frames and hop."""
    return _small_config


def _si_sdr(reference: NDArray, estimate: NDArray) -> NDArray[np.float64]:
    """Scale-invariant signal-to-distortion ratio over the last axis, dB, no mean removal."""
    reference, estimate = (np.asarray(x, np.float64) for x in (reference, estimate))
    scale = (reference * estimate).sum(-1) / (reference**2).sum(-1)
    target = scale[..., None] * reference
    noise = np.maximum(((estimate - target) ** 2).sum(-1), 1e-30)
    return 10.0 * np.log10((target**2).sum(-1) / noise)


@pytest.fixture(scope="session")
def si_sdr() -> Callable[[NDArray, NDArray], NDArray[np.float64]]:
    """See `_si_sdr`: projection onto the reference."""
    return _si_sdr


@pytest.fixture(scope="session")
def rtx() -> TensorRT:
    """TensorRT for RTX, which builds without a GPU."""
    if not is_installed(Flavor.RTX):
        pytest.skip("tensorrt-rtx-cu13 is not installed")
    return load(Flavor.RTX)


_TOLERANCES = {
    # Spectra against torch.stft, of the largest magnitude: two float32 FFT libraries agree to a few
    # roundings (6e-8 each) that grow with the logarithm of the size.
    "stft": 1e-6,
    # Samples against torch.istft: two FFTs, and a division by the summed window of at least 0.1.
    "istft": 2e-6,
    # Spans joined against one conversion, RMS of full scale: -120 dB is the promise. Single
    # samples lie higher where rates share no divisor, as soxr interpolates phases in float32.
    "seam": 1e-6,
    "seam_peak": 3e-6,
    # Stems and residual against the mixture: a float32 subtraction and a sum.
    "residual": 1e-6,
    # The same where stems were rounded to 24 bits: half a step each.
    "residual_flac": 5e-7,
    # Samples that went through a file of 16 bits, of full scale: one step.
    "pcm16": 3.1e-5,
    # SI-SDR in dB against other float64 formulas.
    "si_sdr": 1e-6,
    # Golden sources, dB, both sides rounded to half precision: MODEL's own figure; and a source
    # below 1e-3 of full scale, where half precision has few digits left (65 measured).
    "golden": 80.0,
    "golden_quiet": 60.0,
    # A tone through two conversions, of its amplitude: the pass band's ripple, twice.
    "round_trip": 1e-3,
}


@pytest.fixture(scope="session")
def tolerance() -> Mapping[str, float]:
    """Limits by name, each with its reason."""
    return _TOLERANCES


@pytest.fixture
def config(small_config) -> ModelConfig:
    """A model whose windows are 1016 samples at 8 kHz: many of them fit in a short test."""
    return small_config(n_fft=32, hop_length=8)


_CLEAR = re.compile(r"\A[^:]+: .*got .+, expected .+[.)] [A-Z].*\Z", re.DOTALL)


@pytest.fixture
def fails() -> Callable[..., object]:
    """``with fails(AudioError, "part"):`` - that error, and it says what, got, expected, do."""

    class Expectation:
        def __init__(self, kind: type[SgnError], *parts: str) -> None:
            self.kind, self.parts, self.message = kind, parts, ""

        def __enter__(self) -> Expectation:
            return self

        def __exit__(self, kind, error, trace) -> bool:
            assert error is not None, f"expected {self.kind.__name__}, got no error"
            if type(error) is not self.kind:
                return False
            self.message = str(error)
            assert _CLEAR.match(self.message), self.message
            for part in self.parts:
                assert part in self.message, self.message
            return True

    return Expectation


Fault = Callable[[int, Separated], Separated]


class FakeEngine(WholeEngine):
    """Gives every category its own share of the mixture, and what a fault makes of that.

    With ``depends``, a source depends on the whole window, position and level included, so that
    another choice of windows shows in every sample.
    """

    detail = "for tests"

    def __init__(
        self,
        config: ModelConfig,
        name: str = "fake",
        *,
        presence: tuple[float, ...] = (0.9, 0.5, 0.1),
        concurrency: int = 1,
        batch: int = 1,
        depends: bool = True,
        fault: Fault = lambda call, answer: answer,
    ) -> None:
        super().__init__(config)
        self.name, self.concurrency, self.precision = name, concurrency, Precision.FP32
        self.batch = batch
        self.calls, self._lock = 0, threading.Lock()
        self.seen: list[np.ndarray] | None = None
        self._presence = np.array(presence, np.float32)
        self._depends, self._fault = depends, fault

    def _separate(self, mixture, categories):
        with self._lock:
            call = self.calls
            self.calls += 1
            if self.seen is not None:
                self.seen.append(mixture.copy())
        shares = np.array([0.5, 0.3, 0.2], np.float32)[categories]
        sources = mixture[:, None] * shares[:, None]
        if self._depends:
            ramp = np.linspace(0.5, 1.0, mixture.shape[1], dtype=np.float32)
            level = np.abs(mixture).mean(axis=1, dtype=np.float64).astype(np.float32)
            sources += level[:, None, None] * ramp * (1 + categories[:, None]).astype(np.float32)
        presence = np.tile(self._presence, (len(mixture), 1))
        return self._fault(call, Separated(sources.astype(np.float32), presence))


class FakeMaskEngine(MasksAtOnce):
    """Masks that follow the log-magnitude; ``change`` makes them wrong."""

    detail = "for tests"
    concurrency = 1

    def __init__(self, config, name="masks", *, change=lambda masked: masked, precision="fp32"):
        super().__init__(config)
        self.name, self.precision, self._change = name, Precision(precision), change

    def _masks(self, log_magnitude, categories):
        levels = log_magnitude.mean(axis=(1, 2, 3), keepdims=True)
        slopes = np.array([0.3, -0.2, 0.1], np.float32)[categories][:, None, None]
        masks = 1 / (1 + np.exp(-slopes * (log_magnitude - levels)))
        presence = np.tile(np.array([0.9, 0.8, 0.1], np.float32), (len(log_magnitude), 1))
        return self._change(Masked(masks.astype(np.float32), presence))


@pytest.fixture
def fake_engine() -> type[FakeEngine]:
    return FakeEngine


@pytest.fixture
def mask_engine() -> type[FakeMaskEngine]:
    return FakeMaskEngine


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    """Noise in bursts, shape = (channels, samples), float32, below full scale."""

    def make(channels: int, samples: int, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        level = 0.05 + 0.15 * (np.sin(np.arange(samples) / 97.0) > 0)
        return np.clip(level * rng.standard_normal((channels, samples)), -0.99, 0.99).astype("f4")

    return make


def _probe_of(engine: Engine, windows: int = 2) -> Probe:
    config = engine.config
    rng = np.random.default_rng(11)
    mixture = (0.1 * rng.standard_normal((windows, config.window_samples))).astype(np.float32)
    categories = np.array([[0, 1], [1, 0]] * windows)[:windows]
    plane = (config.frequency_bins, config.frames)
    log_magnitude = np.zeros((windows, *plane), np.float32)
    masks = np.zeros((windows, 2, *plane), np.float32)
    rows = [engine.separate(mixture[w : w + 1], categories[w]) for w in range(windows)]
    if isinstance(engine, MaskEngine):
        for w in range(windows):
            spectrum = engine.transform.stft(mixture[w])
            log_magnitude[w] = engine.transform.log_magnitude(spectrum)[0]
            masks[w] = engine.masks(log_magnitude[w][None, None], categories[w]).masks[0]
    sources = np.stack([row.sources[0] for row in rows])
    return Probe(
        mixture=mixture,
        categories=categories,
        log_magnitude=log_magnitude,
        masks=masks,
        sources=sources,
        presence=np.stack([row.presence[0] for row in rows]),
        stems=sources + 0.01 * rng.standard_normal(sources.shape).astype(np.float32),
        stem_known=np.array([[True, False]] * windows),
        shares=np.stack([shares(engine, window) for window in mixture]),
    )


@pytest.fixture
def probe_of() -> Callable[..., Probe]:
    """A probe whose reference is an engine."""
    return _probe_of


def write_manifest(folder: Path, manifest: dict) -> None:
    """Write a bundle's manifest with its digest; that of schema 1 has none."""
    if manifest.get("schema") != 1:
        manifest[DIGEST_KEY] = digest_of(manifest)
    (folder / BUNDLE_MANIFEST).write_text(json.dumps(manifest))


def _write_bundle(folder: Path, config: ModelConfig, probe: Probe) -> Path:
    folder.mkdir()
    write_safetensors(
        folder / "checkpoint.safetensors",
        {"presence_head.bias": np.zeros(1, np.float16)},
        {CHECKPOINT_CONFIG_KEY: json.dumps(config.to_dict())},
    )
    contents = {
        "checkpoint.safetensors": (folder / "checkpoint.safetensors").read_bytes(),
        "core.fp32.onnx": b"graph",
        "masks.fp32.onnx": b"masks",
        BUNDLE_PROBE: probe.to_bytes(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    manifest = {
        "schema": BUNDLE_SCHEMA,
        "generator": "tests",
        "name": "fake",
        "licence": "CC0-1.0",
        "config": config.to_dict(),
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in contents.items()
        },
        "artifacts": [
            {
                "path": "core.fp32.onnx", "kind": "core", "precision": "fp32", "opset": 20,
                "external": ["checkpoint.safetensors"], "parity": {},
            },
            {
                "path": "masks.fp32.onnx", "kind": "masks", "precision": "fp32", "opset": 20,
                "external": [], "parity": {},
            },
        ],
    }  # fmt: skip
    write_manifest(folder, manifest)
    return folder


@pytest.fixture
def bundle_folder(tmp_path, config) -> Path:
    """A bundle whose graphs are not graphs; its probes hold `FakeEngine` to be the reference."""
    return _write_bundle(tmp_path / "bundle", config, _probe_of(FakeEngine(config)))


class OuterPytest:
    """Runs pytest with the plugin of `sgn_rt.parity`, in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engines: dict[str, dict[str, str]] = {}  # as the last run left them: stage -> state

    def __call__(self, *options: object, code: str = "") -> tuple[int, str, dict[str, str]]:
        """Exit code, what it says, test -> state; those of several engines are in `engines`."""
        report = self.folder / "report.xml"
        program = f"import sys, pytest\n{code}\nsys.exit(pytest.main(sys.argv[1:]))"
        plugin = ["-p", "sgn_rt.parity.pytest_plugin", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-c", program, *plugin, f"--junitxml={report}", *map(str, options)],
            cwd=self.folder,
            env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # others take long to load
            capture_output=True,
            text=True,
            check=False,
        )
        self.engines = {}
        if report.exists():
            for case in ElementTree.parse(report).getroot().iter("testcase"):
                kinds = [child.tag for child in case if child.tag != "properties"]
                engine = case.attrib["classname"].removeprefix("sgn-rt.")
                stages = self.engines.setdefault(engine, {})
                stages[case.attrib["name"]] = (kinds or ["passed"])[0]
        states = {name: state for each in self.engines.values() for name, state in each.items()}
        return done.returncode, done.stdout + done.stderr, states


@pytest.fixture
def outer(tmp_path) -> OuterPytest:
    """See `OuterPytest`."""
    folder = tmp_path / "project"
    folder.mkdir()
    return OuterPytest(folder)


@pytest.fixture
def edit_manifest() -> Callable[[Path, Callable[[dict], object]], None]:
    """Change a bundle's manifest in place, and seal it anew, so that what comes behind is seen."""

    def edit(folder: Path, change: Callable[[dict], object]) -> None:
        path = folder / BUNDLE_MANIFEST
        manifest = json.loads(path.read_text())
        change(manifest)
        write_manifest(folder, manifest)

    return edit


@pytest.fixture
def open_fakes(monkeypatch, bundle_folder) -> Callable[..., Separator]:
    """`Separator.open` where the engines are those given, by name: an engine, or why it fails."""

    def open_with(
        engines: Mapping[str, Engine | Exception], engine="auto", parity="fallback", **options
    ):
        def opener(name: str, bundle: Bundle, threads: int | None, **more: object) -> Engine:
            del more
            found = engines.get(name, EngineError(f"engine: got {name}, expected one. Choose."))
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr("sgn_rt.parity.service.ENGINES", tuple(engines))
        monkeypatch.setattr("sgn_rt.parity.service.open_engine", opener)
        return Separator.open(bundle_folder, engine, parity, threads=2, **options)

    return open_with


@dataclass
class Opened:
    separator: Separator
    engine: FakeEngine


@pytest.fixture
def fake_separator(config):
    """Separators on a `FakeEngine`, closed when the test is over."""
    opened = []

    def make(**options) -> Opened:
        engine = FakeEngine(options.pop("config", config), **options)
        guarded = GuardedEngine([engine.name], lambda name: engine, lambda engine: None, "off")
        bundle = SimpleNamespace(config=engine.config, name="fake", identity="fake")
        service = SimpleNamespace(
            engine=guarded,
            load_s=0.0,
            warm_up_s=0.0,
            proved=[],
            checked_windows=0,
            close=guarded.close,
        )
        opened.append(Separator(bundle, service, threads=2))
        return Opened(opened[-1], engine)

    yield make
    for separator in opened:
        separator.close()


@pytest.fixture(scope="session")
def pool():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def tree() -> Callable[[Path], list[str]]:
    """Everything under a folder, hidden files included."""
    return lambda folder: sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def run(monkeypatch, capsys):
    """Run ``sgn-rt`` in this process: exit code, stdout, stderr."""
    from sgn_rt.cli import main

    def call(*arguments: object):
        monkeypatch.setattr(sys, "argv", ["sgn-rt", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return SimpleNamespace(code=exit_.value.code, out=captured.out, err=captured.err)

    return call
