"""A tritonserver with the Python models of a small bundle, and what it is compared with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sgn_rt import Separator
from sgn_rt.model.bundle import Bundle
from sgn_rt.serving.triton.configs import Serving
from sgn_rt.serving.triton.repository import Part, write_repository

from .tritonserver import ENVIRONMENT, Server, backends, packages

REQUIRE = "SGN_RT_REQUIRE_TRITON"
SMALL = Path(__file__).parents[2] / "data" / "bundle_schema1"
"""Windows of 1016 samples at 8 kHz, two categories."""
SERVING = Serving(engine="onnxruntime", threads=1, batch=8, slots=20, idle_s=60.0)
PYTHON = (Part.WINDOWS, Part.LIVE)


@pytest.fixture(scope="session")
def server_backends(tmp_path_factory) -> Path:
    """Backends of the real tritonserver; without it, tests are skipped, or fail in CI."""
    if packages() is None:
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"no tritonserver in {ENVIRONMENT}, and {REQUIRE}=1")
        pytest.skip("no tritonserver: `make test` installs it where there is a package index")
    return backends(tmp_path_factory.mktemp("triton"))


@pytest.fixture(scope="session")
def small_bundle() -> Bundle:
    return Bundle.open(SMALL)


@pytest.fixture(scope="session")
def serve(server_backends, tmp_path_factory) -> Iterator[Callable[..., Server]]:
    """Starts a server on a folder of models; `Server` says how. Its owner stops it."""
    servers = []

    def start(models: Path, **options) -> Server:
        servers.append(
            Server(server_backends, models, tmp_path_factory.mktemp("server"), **options)
        )
        return servers[-1].start()

    yield start
    for server in servers:  # of tests that failed
        if server.process is not None and server.process.poll() is None:
            server.kill()


@pytest.fixture(scope="session")
def small_models(small_bundle, tmp_path_factory) -> Path:
    """The folder of models for that bundle, as ``--model-repository`` wants it."""
    target = tmp_path_factory.mktemp("repository") / "small"
    write_repository(small_bundle, target, parts=PYTHON, serving=SERVING)
    return target / "models"


@pytest.fixture(scope="module")
def server(serve, small_models) -> Iterator[Server]:
    """With both models; it has ended cleanly when the module's tests are over."""
    started = serve(small_models, load=["windows", "live"])
    yield started
    code = started.stop()
    assert code == 0, started.log
    assert started.left() == []


@pytest.fixture(scope="session")
def local() -> Iterator[Separator]:
    """What a tritonserver's answers are compared with."""
    with Separator.open(SMALL, SERVING.engine, threads=1) as separator:
        yield separator


@pytest.fixture(scope="session")
def signal() -> Callable[..., np.ndarray]:
    """Noise, shape = (channels, samples), float32; another for each seed."""

    def make(samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return (0.1 * rng.standard_normal((channels, samples))).astype(np.float32)

    return make
