"""cuFFT when first needed; registration on loading, for Triton and ONNX Runtime."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sgn_rt.tensorrt.plugins.headers import cufft_folder

from .conftest import HOST_LIBRARY, missing


@pytest.fixture(scope="module")
def built(host_library: Path) -> Path:
    """Folder of the test libraries."""
    if os.environ.get(HOST_LIBRARY):
        pytest.skip("not of what sanitizers look at")
    return host_library.parent


def load_cufft(built: Path, **variables: str) -> tuple[int, str]:
    """In a fresh process: cufftCreate's result and the message."""
    script = (
        "import ctypes\n"
        f"library = ctypes.CDLL({str(built / 'libsgn_rt_cufft_probe.so')!r})\n"
        "text = ctypes.create_string_buffer(4096)\n"
        "print(library.sgn_test_cufft(text, ctypes.c_size_t(4096)))\n"
        "print(text.value.decode())\n"
    )
    environment = {
        k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "SGN_RT_CUFFT_LIBRARY")
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    result, message = done.stdout.split("\n", 1)
    return int(result), message.strip()


def test_a_named_cufft_is_taken_or_refused(built: Path, tmp_path: Path) -> None:
    absent = tmp_path / "libcufft.so.0"
    result, message = load_cufft(built, SGN_RT_CUFFT_LIBRARY=str(absent))
    assert result == -1
    assert str(absent) in message
    assert "set SGN_RT_CUFFT_LIBRARY" in message
    result, message = load_cufft(
        built, SGN_RT_CUFFT_LIBRARY=str(built / "libsgn_rt_cufft_probe.so")
    )
    assert result == -1
    assert "a library without cufftCreate" in message


def test_the_real_cufft_loads_and_answers(built: Path) -> None:
    """With a GPU it makes a plan; without one it refuses with a number of its own."""
    folder = cufft_folder()
    if folder is None:
        missing("no nvidia-cufft package")
    for variables in (
        {"SGN_RT_CUFFT_LIBRARY": str(max(folder.glob("libcufft.so.*")))},
        {"LD_LIBRARY_PATH": str(folder)},
    ):
        result, message = load_cufft(built, **variables)
        assert 0 <= result < 100, message


def test_our_declarations_are_cuffts(built: Path) -> None:
    """By static_assert, in a build that found cufft.h."""
    if cufft_folder() is None:
        missing("no nvidia-cufft package")
    library = ctypes.CDLL(str(built / "libsgn_rt_cufft_probe.so"))
    assert library.sgn_test_cufft_declarations_compared() == 1


def load_registering(built: Path, library: Path | None = None, **variables: str) -> tuple[str, str]:
    """In a fresh process: what is registered after a plain dlopen, and standard error."""
    library = library or built / "libsgn_rt_plugins_host_register.so"
    script = (
        "import ctypes\n"
        f"infer = ctypes.CDLL({str(built / 'libnvinfer_registry.so')!r})\n"
        f"ctypes.CDLL({str(library)!r})\n"
        "infer.sgn_test_registered.restype = ctypes.c_char_p\n"
        "print(infer.sgn_test_registered().decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip(), done.stderr


def test_loading_registers_both_operations(built: Path, plugin_build: SimpleNamespace) -> None:
    """The host build's, and the one that ships."""
    for library in (None, plugin_build.registering):
        assert load_registering(built, library) == ("sgn::Stft/1 sgn::Istft/1", "")


def test_another_major_version_is_refused(built: Path) -> None:
    """Its registry has another layout: it must not be touched."""
    registered, message = load_registering(built, SGN_RT_TEST_TENSORRT_VERSION="110100")
    assert registered == ""
    assert (
        "TensorRT: got major version 11, expected the 10 that this library was compiled for"
        in message
    )


def test_a_refused_registration_is_reported(built: Path) -> None:
    registered, message = load_registering(built, SGN_RT_TEST_REFUSE="1")
    assert registered == ""
    assert "registration of Stft: got a refusal" in message
