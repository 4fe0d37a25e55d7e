"""The library that ships: its compilation, kernels' resources, exports, build on demand."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sgn_rt.errors import PluginError
from sgn_rt.tensorrt.plugins import build, find, headers
from sgn_rt.tensorrt.plugins.kernels import SampleFormat

RESOURCES = Path(__file__).with_name("kernel_resources.json")
UPDATE = "SGN_RT_UPDATE_KERNEL_RESOURCES"
ARCHITECTURES = {"sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"}
EXPORTS = {
    "getCreators", "setLoggerFinder", "sgn_rt_plugin_version",
    "sgn_rt_status_text", "sgn_rt_load_kernels", "sgn_rt_finish",
    "sgn_rt_resample", "sgn_rt_fft_work",
}  # fmt: skip


def most_registers(architecture: str) -> int:
    """Of a multiprocessor's 64 Ki: for the 1024 threads of sm_75, and 1536 of the others'."""
    return 64 if architecture == "sm_75" else 40


KERNEL = re.compile(
    r"\d+(framing|logMagnitude|masking|overlapAdd|finish|resample)Kernel"
    r"(?:I(6__half|f|Li\d(?:ELb[01])?|LNS\w?_(?:12SampleFormat|7Pairing)E\d)E)?"
)
ARGUMENT = {
    "": "", "6__half": "<half>", "f": "<float>",
    "LNS0_7PairingE0": "<1>", "LNS0_7PairingE1": "<2>", "LNS0_7PairingE2": "<2, odd>",
    "Li1ELb0": "<1>", "Li4ELb0": "<4>", "Li1ELb1": "<1, between>", "Li4ELb1": "<4, between>",
    **{f"LNS_12SampleFormatE{form.value}": f"<{form.name.lower()}>" for form in SampleFormat},
}  # fmt: skip
ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for '(?P<arch>sm_\d+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?:, used \d+ barriers)?(?:, (?P<shared>\d+) bytes smem)?",
    re.DOTALL,
)


def kernel_resources(log: str) -> dict[str, dict[str, dict[str, int]]]:
    """Kernel -> architecture -> figures, from ptxas."""
    table: dict[str, dict[str, dict[str, int]]] = {}
    for entry in ENTRY.finditer(log):
        name = KERNEL.search(entry["name"])
        assert name, f"a kernel that this test does not know: {entry['name']}"
        figures = {
            "registers": int(entry["registers"]),
            "shared_bytes": int(entry["shared"] or 0),
            "spill_bytes": int(entry["stores"]) + int(entry["loads"]),
            "stack_bytes": int(entry["stack"]),
        }
        table.setdefault(name[1] + ARGUMENT[name[2] or ""], {})[entry["arch"]] = figures
    return table


def nvcc_version() -> str:
    text = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"release (\d+\.\d+)", text)[1]


def test_builds_without_a_warning(plugin_build) -> None:
    assert plugin_build.path.is_file()
    assert "warning" not in plugin_build.log.lower()


def test_kernel_resources_are_the_recorded_ones(plugin_build) -> None:
    """No spills anywhere; with the compiler of the record, the very figures of the record."""
    measured = kernel_resources(plugin_build.log)
    version = nvcc_version()
    if os.environ.get(UPDATE) == "1":
        text = json.dumps({"nvcc": version, "kernels": measured}, indent=1, sort_keys=True)
        RESOURCES.write_text(re.sub(r"\s+(?=[\"}][^{]*})", " ", text) + "\n")
    recorded = json.loads(RESOURCES.read_text())
    assert measured.keys() == recorded["kernels"].keys()
    for kernel, by_architecture in measured.items():
        assert by_architecture.keys() == ARCHITECTURES, kernel
        for architecture, figures in by_architecture.items():
            where = f"{kernel} for {architecture}"
            wanted = recorded["kernels"][kernel][architecture]
            assert figures["spill_bytes"] == figures["stack_bytes"] == 0, where
            assert figures["registers"] <= most_registers(architecture), where
            assert figures["shared_bytes"] == wanted["shared_bytes"], where
            if version == recorded["nvcc"]:
                assert figures == wanted, f"{where}; {UPDATE}=1 records the new figures"


def embedded(library: Path) -> dict[str, set[int]]:
    """Architectures that a library has machine code and PTX for, from its fat binaries."""
    kinds: dict[str, set[int]] = {"ptx": set(), "code": set()}
    data = library.read_bytes()
    for found in re.finditer(re.escape(struct.pack("<IH", 0xBA55ED50, 1)), data):
        header, size = struct.unpack_from("<HQ", data, found.start() + 6)
        at = found.start() + header
        end = at + size
        while at < end:
            kind, header, length, architecture = struct.unpack_from("<HxxIQ12xI", data, at)
            kinds["ptx" if kind == 1 else "code"].add(architecture)
            at += header + length
    return kinds


def test_code_for_every_architecture_and_ptx_for_others(plugin_build) -> None:
    """Without code of its family, a GPU compiles PTX that is no newer: sm_110 has that of 100."""
    kinds = embedded(plugin_build.path)
    assert {f"sm_{number}" for number in kinds["code"]} == ARCHITECTURES
    assert kinds["ptx"] == {100, 120}


def test_exports_and_imports(plugin_build) -> None:
    """What is bound, out; nothing of TensorRT, cuFFT or the driver in: it loads without them."""
    text = subprocess.run(
        ["readelf", "--wide", "--dyn-syms", "--dynamic", str(plugin_build.path)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    symbols = [
        line.split() for line in text.splitlines() if re.match(r"\s+\d+: [0-9a-f]{16}", line)
    ]
    defined = {columns[7] for columns in symbols if len(columns) > 7 and columns[6] != "UND"}
    wanted = {
        columns[7].split("@")[0] for columns in symbols if len(columns) > 7 and columns[6] == "UND"
    }
    assert defined == EXPORTS
    assert not [
        name
        for name in wanted
        if re.match(r"cu[A-Z]|cuda|cufft|getPluginRegistry|getLogger|createInfer", name)
    ]
    needed = set(re.findall(r"\(NEEDED\).*\[(.+?)\.so", text))
    assert needed <= {
        "libstdc++",
        "libm",
        "libgcc_s",
        "libc",
        "libdl",
        "libpthread",
        "librt",
        "ld-linux-x86-64",
    }


def test_found_by_variable_and_its_version_checked(
    plugin_build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(find.LIBRARY_VARIABLE, str(plugin_build.path))
    assert find.find_library() == plugin_build.path.resolve()
    monkeypatch.setattr(find, "package_version", lambda: "9.9.9")
    with pytest.raises(PluginError, match=r"got version \d.*, expected 9\.9\.9"):
        find.find_library()
    other = tmp_path / build.LIBRARY_NAME
    other.write_text("not a library")
    monkeypatch.setenv(find.LIBRARY_VARIABLE, str(other))
    with pytest.raises(PluginError, match="expected sgn-rt's plugins"):
        find.find_library()
    monkeypatch.setenv(find.LIBRARY_VARIABLE, str(tmp_path / "none.so"))
    with pytest.raises(PluginError, match=r"got no file .*none.so"):
        find.find_library()


def test_built_on_demand_once(
    plugin_build, toolchain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two at once: one compiles, both get the same whole library; then the cache answers."""
    monkeypatch.setenv(build.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.delenv(find.LIBRARY_VARIABLE, raising=False)
    compilations = []
    compiled = build._compile

    def count(*arguments):
        compilations.append(arguments)
        assert not build.cached_library().exists()
        return compiled(*arguments)

    monkeypatch.setattr(build, "_compile", count)
    results: list[Path] = []

    def request() -> None:
        results.append(
            build.build_library(
                tensorrt_include=toolchain.tensorrt, architectures="75-real", jobs=2
            )
        )

    threads = [threading.Thread(target=request) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [build.cached_library()] * 2
    assert len(compilations) == 1
    request()
    assert len(compilations) == 1
    assert find.find_library() == results[0].resolve()
    assert sorted(path.name for path in (tmp_path / "plugins").iterdir()) == sorted(
        [results[0].parent.name, f"{results[0].parent.name}.lock"]
    ), "something of the build was left behind"


def test_a_failing_build_says_why_and_leaves_nothing(
    plugin_build, toolchain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(build.CACHE_VARIABLE, str(tmp_path))
    with pytest.raises(PluginError, match=r"(?s)compilation: got exit status.*compute_no"):
        build.build_library(tensorrt_include=toolchain.tensorrt, architectures="no such thing")
    assert not build.cached_library().exists()
    with pytest.raises(PluginError, match="TensorRT headers: got none in"):
        build.build_library(tensorrt_include=tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PluginError, match="got no cmake on PATH"):
        build.build_library(tensorrt_include=toolchain.tensorrt)


def test_the_cache_knows_the_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = build.cached_library()
    monkeypatch.setattr(build, "sources_digest", lambda: "0" * 12)
    assert build.cached_library() != before
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv(build.CACHE_VARIABLE, str(blocked))
    with pytest.raises(PluginError, match="plugin cache: got"):
        build.build_library()


def test_headers_of_an_old_tensorrt_are_refused(tmp_path: Path) -> None:
    (tmp_path / "NvInferRuntime.h").touch()
    version = tmp_path / "NvInferVersion.h"
    for text, expected in (
        ("#define NV_TENSORRT_MAJOR 10 //!< x\n#define NV_TENSORRT_MINOR 7 //!< x\n", (10, 7)),
        (
            "#define TRT_MAJOR_ENTERPRISE 11\n#define TRT_MINOR_ENTERPRISE 1\n"
            "#define NV_TENSORRT_MAJOR TRT_MAJOR_ENTERPRISE\n",
            (11, 1),
        ),
        ("nothing", None),
    ):
        version.write_text(text)
        assert headers.tensorrt_version(tmp_path) == expected
    version.write_text("#define NV_TENSORRT_MAJOR 10\n#define NV_TENSORRT_MINOR 7\n")
    with pytest.raises(PluginError, match=r"got version 10\.7 .*expected 10\.8"):
        headers.tensorrt_include_dir(tmp_path)


def test_the_modules_need_no_torch_and_no_tensorrt() -> None:
    packages = ["torch", "tensorrt", "tensorrt_rtx", "onnx", "cuda"]
    blocked = f"import sys\nfor name in {packages}: sys.modules[name] = None\n"
    script = blocked + "from sgn_rt.tensorrt.plugins import build, find, headers"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
