"""Builds of the plugins: for the host, to run here, and for the GPU, to inspect and load."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import product, starmap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt.checks.device import kernel_checks, layer_checks, rates
from sgn_rt.checks.device.world import DeviceWorld
from sgn_rt.errors import PluginError
from sgn_rt.model.bundle import embedded
from sgn_rt.model.contract import (
    BUNDLE_MANIFEST,
    BUNDLE_PROBE,
    BUNDLE_SCHEMA,
    Kind,
    PluginOp,
    Precision,
    partner,
)
from sgn_rt.model.manifest import DIGEST_KEY, digest_of
from sgn_rt.tensorrt.plugins.build import package_version
from sgn_rt.tensorrt.plugins.find import LIBRARY_VARIABLE
from sgn_rt.tensorrt.plugins.headers import (
    TENSORRT_INCLUDE_VARIABLE,
    cuda_include_dir,
    cufft_folder,
    tensorrt_include_dir,
)

from .checked_device import Device, FakeCuda, Library, OnStream
from .harness import Host, through_tensorrt

REQUIRE = "SGN_RT_REQUIRE_PLUGIN_TOOLCHAIN"
HOST_NAME = "libsgn_rt_plugins_host.so"
HOST_LIBRARY = "SGN_RT_PLUGIN_HOST_LIBRARY"
CSRC = Path(__file__).parent / "csrc"
NETWORKS = tuple(product((Kind.WAVEFORM, Kind.PLUGIN), (Precision.FP32, Precision.FP16)))
"""Graphs that engines are asked for by; another precision of a kind is one more of these."""
GRAPHS = (*NETWORKS, *dict.fromkeys(filter(None, starmap(partner, NETWORKS))))
"""All of which engines are built."""


def missing(reason: str) -> None:
    """Skip, or fail where the toolchain is required."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason} ({REQUIRE}=1)")
    pytest.skip(reason)


def _unpacked_headers() -> Path | None:
    """TensorRT's headers as the Makefile unpacks them, unless others are named."""
    folder = Path(sys.prefix) / "tools" / "kernel_lens" / "include" / "tensorrt"
    return folder if folder.is_dir() and TENSORRT_INCLUDE_VARIABLE not in os.environ else None


@pytest.fixture(scope="session")
def toolchain() -> SimpleNamespace:
    """CMake and the headers of TensorRT and CUDA."""
    if shutil.which("cmake") is None:
        missing("no cmake on PATH")
    cuda = cuda_include_dir()
    if cuda is None:
        missing("no CUDA toolkit (cuda_runtime_api.h)")
    try:
        tensorrt = tensorrt_include_dir(_unpacked_headers())
    except PluginError as error:
        missing(str(error).split(" with `pip")[0][:120])
    return SimpleNamespace(cuda=cuda, tensorrt=tensorrt)


def cufft_header_dir() -> str:
    """Of an nvidia-cufft package, if its header is there."""
    folder = cufft_folder()
    found = folder is not None and (folder.parent / "include" / "cufft.h").is_file()
    return str(folder.parent / "include") if found else ""


@pytest.fixture(scope="session")
def build_driver(toolchain: SimpleNamespace):
    """Builds one of csrc/'s libraries: (folder, its name, further options) -> path."""

    def build(folder: Path, name: str, others: Mapping[str, str]) -> Path:
        options = {
            "SGN_RT_TENSORRT_INCLUDE_DIR": toolchain.tensorrt,
            "SGN_RT_CUDA_INCLUDE_DIR": toolchain.cuda,
            "SGN_RT_CUFFT_INCLUDE_DIR": cufft_header_dir(),
            "SGN_RT_VERSION": package_version(),
        }
        definitions = [f"-D{key}={value}" for key, value in (options | others).items()]
        for command in (
            ["cmake", "-S", str(CSRC), "-B", str(folder), *definitions],
            ["cmake", "--build", str(folder), "-j2"],
        ):
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            assert done.returncode == 0, done.stdout
        return folder / name

    return build


@pytest.fixture(scope="session")
def host_library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get(HOST_LIBRARY)
    if named:
        return Path(named)
    return request.getfixturevalue("build_driver")(
        tmp_path_factory.mktemp("plugins-host"), HOST_NAME, {}
    )


@pytest.fixture
def host(host_library: Path) -> Iterator[Host]:
    """The host library; checks that a test leaves no device memory and no plan behind.

    Its settings are as they were again: other tests load the same library.
    """
    library = Host(host_library)
    before = (library.counters.device_alive, library.counters.plans_alive)
    yield library
    ctypes.memset(ctypes.byref(library.settings), 0, ctypes.sizeof(library.settings))
    library.settings.work_bytes = -1
    assert (library.counters.device_alive, library.counters.plans_alive) == before


@pytest.fixture
def operate(host: Host):
    """Runs an operation once, through all that TensorRT does: (op, fields, *inputs) -> outputs."""

    def run(op: PluginOp, fields: Mapping[str, float], *arrays: np.ndarray) -> list[np.ndarray]:
        with through_tensorrt(host, op, fields) as node:
            return node.run(*arrays)

    return run


@pytest.fixture(scope="session")
def plugin_build(
    toolchain: SimpleNamespace, host_library: Path, tmp_path_factory: pytest.TempPathFactory
) -> SimpleNamespace:
    """The libraries for the GPU, for every architecture: their paths and the build's log."""
    if shutil.which("nvcc") is None:
        missing("no nvcc on PATH")
    folder = tmp_path_factory.mktemp("plugins-cuda")
    log = ""
    for command in (
        [
            "cmake", "-S", str(CSRC.parents[3]), "-B", str(folder),
            "-DSGN_RT_WARNINGS_AS_ERRORS=ON", "-DCMAKE_CUDA_FLAGS=--resource-usage",
            f"-DSGN_RT_TENSORRT_INCLUDE_DIR={toolchain.tensorrt}",
            "-DSGN_RT_REGISTERING_LIBRARY=ON",
            f"-DSGN_RT_TENSORRT_LIBRARY={host_library.with_name('libnvinfer_registry.so')}",
        ],
        ["cmake", "--build", str(folder), "-j2"],
    ):  # fmt: skip
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        log += done.stdout
        assert done.returncode == 0, log[-5000:]
    built = folder / "sgn_rt" / "tensorrt" / "plugins"
    return SimpleNamespace(
        path=built / "libsgn_rt_plugins.so",
        registering=built / "libsgn_rt_plugins_register.so",
        log=log,
    )


@pytest.fixture(scope="module")
def library(rtx, plugin_build: SimpleNamespace) -> Iterator[Path]:
    """The built library, as the one that the package finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LIBRARY_VARIABLE, str(plugin_build.path))
        yield plugin_build.path


@pytest.fixture(scope="session")
def published(tmp_path_factory, instruments) -> Path:
    """A bundle of the published checkpoint's graphs that engines are made of; not proved."""
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    from sgn_rt.export.graphs import OPSET, build_graph

    folder = tmp_path_factory.mktemp("published") / "bundle"
    folder.mkdir()
    shutil.copy(embedded() / BUNDLE_PROBE, folder)
    artifacts = []
    for kind, precision in GRAPHS:
        path = f"{kind}.{precision}.onnx"
        graph = build_graph(instruments, kind, precision)
        (folder / path).write_bytes(graph.SerializeToString(deterministic=True))
        artifacts.append(
            {"path": path, "kind": kind, "precision": precision, "opset": OPSET,
             "external": [], "parity": {}}
        )  # fmt: skip
    files = {
        path.name: {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size,
        }
        for path in folder.iterdir()
    }  # fmt: skip
    manifest: dict[str, object] = {
        "schema": BUNDLE_SCHEMA, "name": "published", "config": instruments.config.to_dict(),
        "files": files, "artifacts": artifacts,
    }  # fmt: skip
    manifest[DIGEST_KEY] = digest_of(manifest)
    (folder / BUNDLE_MANIFEST).write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def checked_world(host_library, host, config, monkeypatch):
    """What part (a) of the GPU's report runs on: sizes are small, all else is as there."""
    monkeypatch.setattr(layer_checks, "SIZES", (1, 3, 4096))
    monkeypatch.setattr(layer_checks, "STREAM_BYTES", 1 << 16)
    monkeypatch.setattr(kernel_checks, "CASES", kernel_checks.CASES[2:4])
    for name in ("COPY_BYTES", "LINK_BYTES"):
        monkeypatch.setattr(rates, name, 1 << 16)
    device = Device()
    return DeviceWorld(
        device, config, FakeCuda(device),
        build=lambda _: Library(host_library, device),
        kernels=lambda library: OnStream(library.path, device),
    )  # fmt: skip
