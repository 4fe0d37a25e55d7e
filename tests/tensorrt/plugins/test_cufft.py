"""An engine whose plugins will find no cuFFT is told so, with the package that has it."""

from __future__ import annotations

import pytest

from sgn_rt.errors import PluginError
from sgn_rt.tensorrt.plugins import find


@pytest.fixture(autouse=True)
def no_package(monkeypatch):
    monkeypatch.setattr(find, "cufft_folder", lambda: None)
    monkeypatch.delenv(find.CUFFT_VARIABLE, raising=False)


def linker(monkeypatch, *there: str) -> None:
    def load(name):
        if name not in there:
            raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(find.ctypes, "CDLL", load)


def test_none_is_told_with_the_package(monkeypatch, fails):
    linker(monkeypatch)
    with fails(PluginError, "cuFFT: got libcufft.so.12: cannot open", '"nvidia-cufft'):
        find.expect_cufft()


@pytest.mark.parametrize("name", find.CUFFT_NAMES)
def test_the_linker_may_have_it(monkeypatch, name):
    linker(monkeypatch, name)
    find.expect_cufft()


def test_the_one_that_is_named_counts(monkeypatch, fails):
    linker(monkeypatch, "libcufft.so.12")
    monkeypatch.setenv(find.CUFFT_VARIABLE, "/opt/libcufft.so.12")
    with fails(PluginError, "got /opt/libcufft.so.12: cannot open"):
        find.expect_cufft()


def test_names_are_those_of_the_library():
    source = (find.SOURCE_DIR / "csrc" / "fft_api_cufft.cpp").read_text()
    assert all(f'"{name}"' in source for name in (*find.CUFFT_NAMES, find.CUFFT_VARIABLE))
