"""Fixtures that several test folders share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import sgn_rt
from sgn_rt.config import ModelConfig
from sgn_rt.tensorrt.flavor import Flavor, TensorRT, is_installed, load

ROOT = Path(sgn_rt.__file__).parent
DATA = Path(__file__).parent / "data"


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where two processes share the tests, a folder stays in one: it shares what it has built."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        item.add_marker(pytest.mark.xdist_group(folder))


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


def _small_config(**changes) -> ModelConfig:
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
    return ModelConfig(**({"window_samples": samples} | values))


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
