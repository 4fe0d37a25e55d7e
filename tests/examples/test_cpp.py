"""`examples/cpp`: both programs are built, that on ONNX Runtime gives what Python gives."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import soundfile

from sgn_rt.model.stages import Precision, Stage, limit_for
from sgn_rt.tensorrt.plugins.headers import cuda_include_dir

CPP = Path(__file__).parents[2] / "examples" / "cpp"
STUBS = Path(__file__).parent / "csrc"
HEADERS = Path(sys.prefix) / "ort-headers"
TENSORRT_HEADERS = Path(sys.prefix) / "tools" / "kernel_lens" / "include" / "tensorrt"
REQUIRE = "SGN_RT_REQUIRE_CPP_EXAMPLES"
REQUIRE_PLUGINS = "SGN_RT_REQUIRE_PLUGIN_TOOLCHAIN"


def onnxruntime_root(folder: Path) -> Path:
    """Headers, and the library of the wheel, as an archive of a release lays them."""
    (library,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    (folder / "lib").mkdir(parents=True)
    (folder / "include").symlink_to(HEADERS)
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / "lib" / name).symlink_to(library)
    return folder


def run(*command: object) -> SimpleNamespace:
    done = subprocess.run(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return SimpleNamespace(code=done.returncode, out=done.stdout)


def build(folder: Path, program: str, *options: str) -> Path:
    for command in (
        ["cmake", "-S", CPP, "-B", folder, "-DCMAKE_CXX_FLAGS=-Werror", *options],
        ["cmake", "--build", folder, "--target", program, "-j2"],
    ):
        done = run(*command)
        assert done.code == 0, done.out
    return folder / program


@pytest.fixture(scope="session")
def lacking() -> list[str]:
    """What the programs need and is not here: one thing, or nothing."""
    what = None
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        what = "no cmake and C++ compiler"
    elif not all((Path("/usr/include") / name).exists() for name in ("sndfile.hh", "nlohmann")):
        what = "no libsndfile1-dev and nlohmann-json3-dev"
    elif not (HEADERS / "onnxruntime_cxx_api.h").exists():
        what = f"no headers of ONNX Runtime in {HEADERS}: see the Makefile"
    return [] if what is None else [what]


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Callable[[], Path]:
    """Builds the program on ONNX Runtime, once."""
    folder = tmp_path_factory.mktemp("cpp")
    return cache(
        lambda: build(
            folder / "build",
            "separate-onnxruntime",
            f"-DONNXRUNTIME_ROOT={onnxruntime_root(folder / 'root')}",
        )
    )


@pytest.fixture
def program(lacking, built, missing) -> Path:
    for what in lacking:
        missing(what, REQUIRE)
    return built()


def ratio(estimate: np.ndarray, reference: np.ndarray) -> float:
    """Of signal to difference, dB: a gain counts, too."""
    difference = np.sum((estimate - reference) ** 2)
    return float(10 * np.log10(np.sum(reference**2) / max(difference, 1e-30)))


def expect_equal(folder: Path, stems: dict[str, np.ndarray], rate: int) -> None:
    assert sorted(path.stem for path in folder.iterdir()) == sorted(stems)
    limit = limit_for(Stage.WHOLE, Precision.FP32, 1e-3).value
    for name, expected in stems.items():
        found, found_rate = soundfile.read(folder / f"{name}.wav", always_2d=True)
        assert found_rate == rate
        assert found.T.shape == expected.shape
        assert ratio(found.T, expected.astype(np.float64)) > limit, name


def test_a_recording_becomes_the_stems_that_python_gives(
    program, waveform_bundle, clip, stems_of, tmp_path
):
    names = ["tuba", "piano"]
    done = run(program, waveform_bundle, clip, tmp_path / "out", *names)
    assert done.code == 0, done.out
    assert [line.split(":")[0] for line in done.out.splitlines()] == names
    expect_equal(tmp_path / "out", stems_of(clip, names), soundfile.info(clip).samplerate)


def test_one_shorter_than_a_window(program, waveform_bundle, clip, stems_of, tmp_path):
    """Less than half of one, so that it is mirrored more than once."""
    samples, rate = soundfile.read(clip, frames=20000)
    soundfile.write(tmp_path / "short.wav", samples[:, 0], rate, subtype="FLOAT")
    done = run(program, waveform_bundle, tmp_path / "short.wav", tmp_path / "out", "piano")
    assert done.code == 0, done.out
    expect_equal(tmp_path / "out", stems_of(tmp_path / "short.wav", ["piano"]), rate)


def test_without_names_it_writes_what_is_present(program, waveform_bundle, clip, tmp_path):
    samples, rate = soundfile.read(clip, frames=60000)
    soundfile.write(tmp_path / "short.wav", samples[:, 0], rate, subtype="FLOAT")
    done = run(program, waveform_bundle, tmp_path / "short.wav", tmp_path / "out")
    assert done.code == 0, done.out
    presence = {
        line.split(": presence ")[0]: float(line.split()[-1]) for line in done.out.splitlines()
    }
    assert len(presence) == 11
    written = {path.stem for path in (tmp_path / "out").iterdir()}
    assert written == {name for name, value in presence.items() if value > 0.5}
    assert "piano" in written


def test_what_is_wrong_is_said(program, waveform_bundle, clip, tmp_path):
    soundfile.write(tmp_path / "fast.wav", np.zeros(100), 44100)
    for arguments, said in (
        ([], "arguments: got too few"),
        ([waveform_bundle, clip, tmp_path / "out", "theremin"], "theremin: got a category"),
        ([waveform_bundle, tmp_path / "none.wav", tmp_path / "out"], "none.wav: got "),
        (
            [waveform_bundle, tmp_path / "fast.wav", tmp_path / "out"],
            "got 44100 Hz, expected 11025",
        ),
        ([tmp_path, clip, tmp_path / "out"], "bundle.json: got no such file"),
    ):
        done = run(program, *arguments)
        assert done.code == 2
        assert done.out.startswith("error: ")
        assert said in done.out
    assert not (tmp_path / "out").exists()


def test_that_on_tensorrt_compiles_and_links(lacking, missing, tmp_path):
    """Against the real headers, and a library that has the one symbol and nothing behind it."""
    for what in lacking:
        missing(what, REQUIRE)
    if not TENSORRT_HEADERS.is_dir() or cuda_include_dir() is None:
        missing("no headers of TensorRT and CUDA: see the Makefile", REQUIRE_PLUGINS)
    stub = tmp_path / "libnvinfer.so"
    done = run("c++", "-shared", "-fPIC", "-o", stub, STUBS / "nvinfer.cpp")
    assert done.code == 0, done.out
    program = build(
        tmp_path / "build",
        "separate-tensorrt",
        "-DSGN_EXAMPLES_TENSORRT=ON",
        f"-DONNXRUNTIME_ROOT={onnxruntime_root(tmp_path / 'root')}",
        f"-DTENSORRT_INCLUDE_DIR={TENSORRT_HEADERS}",
        f"-DTENSORRT_LIBRARY={stub}",
    )
    done = run(program)
    assert done.code == 2
    assert "arguments: got too few" in done.out


def test_each_program_is_short():
    for name in ("separate.hpp", "onnxruntime.cpp", "tensorrt.cpp"):
        assert len((CPP / name).read_text(encoding="utf-8").splitlines()) < 150, name
