"""The plugins' own code on host memory (csrc/), driven from here in the order in which TensorRT calls it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt.contract import PluginOp
from sgn_rt.errors import PluginError
from sgn_rt.plugins.build import package_version
from sgn_rt.plugins.headers import cuda_include_dir, cufft_folder, tensorrt_include_dir

REQUIRE = "SGN_RT_REQUIRE_PLUGIN_TOOLCHAIN"
HOST_LIBRARY = "SGN_RT_PLUGIN_HOST_LIBRARY"
CSRC = Path(__file__).parent / "csrc"

FLOAT32, FLOAT16, INT32 = 0, 1, 3  # nvinfer1::DataType
DTYPES = {np.dtype(np.float32): FLOAT32, np.dtype(np.float16): FLOAT16}
NUMPY = {number: dtype for dtype, number in DTYPES.items()}
FIELD_FLOAT32, FIELD_INT32 = 1, 5  # nvinfer1::PluginFieldType
OUTPUTS = {PluginOp.STFT: 2, PluginOp.ISTFT: 1}


def missing(reason: str) -> None:
    """Skip, or fail where the toolchain is required."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason} ({REQUIRE}=1)")
    pytest.skip(reason)


class Field(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("type", ctypes.c_int32),
        ("length", ctypes.c_int32),
    )


class TensorDesc(ctypes.Structure):
    _fields_ = (
        ("rank", ctypes.c_int32),
        ("type", ctypes.c_int32),
        ("format", ctypes.c_int32),
        ("dims", ctypes.c_int64 * 8),
    )

    @classmethod
    def of(cls, shape: Sequence[int], dtype: np.dtype | int) -> TensorDesc:
        number = dtype if isinstance(dtype, int) else DTYPES[np.dtype(dtype)]
        return cls(len(shape), number, 0, (ctypes.c_int64 * 8)(*shape))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.dims[: self.rank])


class Counters(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_longlong)
        for name in ("device_calls", "device_alive", "fft_setup", "plans_alive", "heap")
    )


class Settings(ctypes.Structure):
    _fields_ = (
        ("work_bytes", ctypes.c_longlong),
        ("fail_allocation", ctypes.c_int),
        ("fail_fft", ctypes.c_int),
    )


@dataclass(frozen=True)
class RawField:
    """A field as it arrives, right or wrong."""

    type: int
    length: int
    data: bytes | None


def raw(value: float) -> RawField:
    if isinstance(value, int):
        return RawField(FIELD_INT32, 1, np.int32(value).tobytes())
    return RawField(FIELD_FLOAT32, 1, np.float32(value).tobytes())


class Refused(Exception):
    """The plugin answered with a failure; the text is its message."""


def descs(tensors: Sequence[TensorDesc]) -> ctypes.Array[TensorDesc]:
    return (TensorDesc * len(tensors))(*tensors)


class Host:
    """The host build of the library."""

    def __init__(self, path: Path) -> None:
        self.lib = ctypes.CDLL(str(path))
        for name in ("sgn_test_creator", "sgn_test_create", "sgn_test_create_from", "sgn_test_clone",
                     "sgn_test_attach", "sgn_test_allocate"):  # fmt: skip
            getattr(self.lib, name).restype = ctypes.c_void_p
        for name in ("sgn_test_message", "sgn_rt_plugin_version", "sgn_test_creator_namespace",
                     "sgn_test_creator_version"):  # fmt: skip
            getattr(self.lib, name).restype = ctypes.c_char_p
        self.lib.sgn_test_workspace.restype = ctypes.c_size_t
        self.lib.sgn_test_settings.restype = ctypes.POINTER(Settings)
        self.lib.sgn_test_counters.restype = ctypes.POINTER(Counters)
        self.settings = self.lib.sgn_test_settings().contents

    @property
    def counters(self) -> Counters:
        return self.lib.sgn_test_counters().contents

    def message(self) -> str:
        return self.lib.sgn_test_message().decode(errors="replace")

    def creator(self, op: str) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.lib.sgn_test_creator(op.encode()))

    def create(
        self, op: PluginOp, fields: Mapping[str, float] | Sequence[tuple[str, RawField]], phase: int = 0
    ) -> Node:
        """Through the creator; raises Refused with the library's message."""
        pairs = list(fields.items()) if isinstance(fields, Mapping) else list(fields)
        array = (Field * max(len(pairs), 1))()
        kept = []
        for slot, (name, value) in zip(array, pairs, strict=False):
            field = value if isinstance(value, RawField) else raw(value)
            # One byte off, so that nothing relies on the alignment of a field.
            data = None if field.data is None else ctypes.create_string_buffer(b"\0" + field.data, len(field.data) + 1)
            kept.append(data)
            slot.name = name.encode()
            slot.data = None if data is None else ctypes.addressof(data) + 1
            slot.type, slot.length = field.type, field.length
        self.lib.sgn_test_begin()
        pointer = self.lib.sgn_test_create(self.creator(op), array, len(pairs), phase)
        if not pointer:
            raise Refused(self.message())
        return Node(self, op, pointer)

    @contextmanager
    def tensor(self, desc: TensorDesc) -> Iterator[tuple[int, np.ndarray]]:
        """Memory of exactly a tensor's size, filled with NaN: its address and a view."""
        dtype = NUMPY[desc.type]
        size = int(np.prod(desc.shape, dtype=np.int64)) * dtype.itemsize
        address = self.lib.sgn_test_allocate(ctypes.c_size_t(size))
        try:
            view = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address)) if size else np.empty(0, np.uint8)
            yield address, view.view(dtype).reshape(desc.shape)
        finally:
            self.lib.sgn_test_free(ctypes.c_void_p(address))


class Node:
    """One plugin object."""

    def __init__(self, host: Host, op: PluginOp, pointer: int) -> None:
        self.host, self.op, self.pointer = host, op, ctypes.c_void_p(pointer)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.host.lib.sgn_test_destroy(self.pointer)

    def _call(self, function: str, *arguments: object) -> int:
        self.host.lib.sgn_test_begin()
        return getattr(self.host.lib, function)(self.pointer, *arguments)

    def _twin(self, function: str) -> Node:
        pointer = self._call(function)
        if not pointer:
            raise Refused(self.host.message())
        return Node(self.host, self.op, pointer)

    def clone(self) -> Node:
        return self._twin("sgn_test_clone")

    def attach(self) -> Node:
        return self._twin("sgn_test_attach")

    def serialised(self) -> dict[str, float]:
        array = (Field * 16)()
        count = self._call("sgn_test_serialised", array, 16)
        kinds = {FIELD_INT32: ctypes.c_int32, FIELD_FLOAT32: ctypes.c_float}
        return {
            field.name.decode(): kinds[field.type].from_address(field.data).value for field in array[:count]
        }

    def infer(self, inputs: Sequence[TensorDesc], outputs: int | None = None) -> list[TensorDesc]:
        out = (TensorDesc * 4)()
        count = OUTPUTS[self.op] if outputs is None else outputs
        if self._call("sgn_test_infer", descs(inputs), len(inputs), out, count) != 0:
            raise Refused(self.host.message())
        return [TensorDesc.of(desc.shape, desc.type) for desc in out[:count]]

    def supports(self, position: int, tensors: Sequence[TensorDesc], inputs: int) -> bool:
        return bool(self._call("sgn_test_supports", position, descs(tensors), inputs, len(tensors) - inputs))

    def configure(self, inputs: Sequence[TensorDesc], outputs: Sequence[TensorDesc]) -> None:
        if self._call("sgn_test_configure", descs(inputs), len(inputs), descs(outputs), len(outputs)) != 0:
            raise Refused(self.host.message())

    def workspace(self, inputs: Sequence[TensorDesc], outputs: Sequence[TensorDesc]) -> int:
        return self._call("sgn_test_workspace", descs(inputs), len(inputs), descs(outputs), len(outputs))

    def shape_change(self, inputs: Sequence[TensorDesc], outputs: Sequence[TensorDesc]) -> None:
        if self._call("sgn_test_shape_change", descs(inputs), len(inputs), descs(outputs), len(outputs)) != 0:
            raise Refused(self.host.message())

    def enqueue(
        self, inputs: Sequence[TensorDesc], outputs: Sequence[TensorDesc], read: Sequence[int],
        written: Sequence[int], workspace: int | None,
    ) -> Counters:  # fmt: skip
        spent = Counters()
        status = self._call(
            "sgn_test_enqueue", descs(inputs), len(inputs), descs(outputs), len(outputs),
            (ctypes.c_void_p * 4)(*read), (ctypes.c_void_p * 4)(*written), ctypes.c_void_p(workspace),
            ctypes.byref(spent),
        )  # fmt: skip
        if status != 0:
            raise Refused(self.host.message())
        return spent

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Shapes and addresses set, one enqueue on an attached plugin; the inputs are checked to be left as they were."""
        inputs = [TensorDesc.of(array.shape, array.dtype) for array in arrays]
        outputs = self.infer(inputs)
        for position in range(len(inputs) + len(outputs)):
            assert self.supports(position, [*inputs, *outputs], len(inputs))
        self.configure(inputs, outputs)
        self.shape_change(inputs, outputs)
        work = TensorDesc.of((self.workspace(inputs, outputs) // 4,), np.float32)
        with contextmanager_stack() as enter:
            read = [enter(self.host.tensor(desc)) for desc in inputs]
            written = [enter(self.host.tensor(desc)) for desc in outputs]
            workspace, _ = enter(self.host.tensor(work))
            for (_, view), array in zip(read, arrays, strict=True):
                view[...] = array
            spent = self.enqueue(
                inputs, outputs, [address for address, _ in read], [address for address, _ in written], workspace
            )
            for (_, view), array in zip(read, arrays, strict=True):
                np.testing.assert_array_equal(view, array, err_msg="a plugin wrote to its input")
            self.spent = spent
            return [view.copy() for _, view in written]


@contextmanager
def contextmanager_stack() -> Iterator:
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield stack.enter_context


@contextmanager
def through_tensorrt(host: Host, op: PluginOp, fields: Mapping[str, float]) -> Iterator[Node]:
    """A plugin after all that TensorRT does to it: created, cloned, serialised, created again, attached."""
    with host.create(op, fields) as built, built.clone() as cloned:
        stored = cloned.serialised()
        assert stored == pytest.approx(dict(fields) | {"window_length": fields.get("window_length", fields["n_fft"])})
        with host.create(op, stored, phase=1) as loaded, loaded.attach() as attached:
            yield attached


@pytest.fixture(scope="session")
def toolchain() -> SimpleNamespace:
    """CMake and the headers of TensorRT and CUDA."""
    if shutil.which("cmake") is None:
        missing("no cmake on PATH")
    cuda = cuda_include_dir()
    if cuda is None:
        missing("no CUDA toolkit (cuda_runtime_api.h)")
    try:
        tensorrt = tensorrt_include_dir()
    except PluginError as error:
        missing(str(error).split(" with `pip")[0][:120])
    return SimpleNamespace(cuda=cuda, tensorrt=tensorrt)


def cufft_header_dir() -> str:
    """Of an nvidia-cufft package, if its header is there."""
    folder = cufft_folder()
    found = folder is not None and (folder.parent / "include" / "cufft.h").is_file()
    return str(folder.parent / "include") if found else ""


@pytest.fixture(scope="session")
def build_host(toolchain: SimpleNamespace):
    """Builds the host library: (folder, sanitizers) -> path."""

    def build(folder: Path, sanitize: str = "") -> Path:
        options = {
            "SGN_RT_TENSORRT_INCLUDE_DIR": toolchain.tensorrt,
            "SGN_RT_CUDA_INCLUDE_DIR": toolchain.cuda,
            "SGN_RT_VERSION": package_version(),
            "SGN_RT_SANITIZE": sanitize,
            "SGN_RT_CUFFT_INCLUDE_DIR": cufft_header_dir(),
        }
        definitions = [f"-D{name}={value}" for name, value in options.items()]
        for command in (
            ["cmake", "-S", str(CSRC), "-B", str(folder), *definitions],
            ["cmake", "--build", str(folder), "-j2"],
        ):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            assert done.returncode == 0, done.stdout
        return folder / "libsgn_rt_plugins_host.so"

    return build


@pytest.fixture(scope="session")
def host_library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get(HOST_LIBRARY)
    if named:
        return Path(named)
    return request.getfixturevalue("build_host")(tmp_path_factory.mktemp("plugins-host"))


@pytest.fixture
def host(host_library: Path) -> Iterator[Host]:
    """The host library; checks that a test leaves no device memory and no plan behind."""
    library = Host(host_library)
    library.settings.work_bytes, library.settings.fail_allocation, library.settings.fail_fft = -1, 0, 0
    before = (library.counters.device_alive, library.counters.plans_alive)
    yield library
    assert (library.counters.device_alive, library.counters.plans_alive) == before


@pytest.fixture
def operate(host: Host):
    """Runs an operation once, through all that TensorRT does: (op, fields, *inputs) -> outputs."""

    def run(op: PluginOp, fields: Mapping[str, float], *arrays: np.ndarray) -> list[np.ndarray]:
        with through_tensorrt(host, op, fields) as node:
            return node.run(*arrays)

    return run


@pytest.fixture(scope="session")
def plugin_build(toolchain: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The library for the GPU, built from the top of the tree for every architecture: its path and the build's log."""
    if shutil.which("nvcc") is None:
        missing("no nvcc on PATH")
    folder = tmp_path_factory.mktemp("plugins-cuda")
    log = ""
    for command in (
        [
            "cmake", "-S", str(CSRC.parents[2]), "-B", str(folder), "-DSGN_RT_WARNINGS_AS_ERRORS=ON",
            f"-DSGN_RT_TENSORRT_INCLUDE_DIR={toolchain.tensorrt}", "-DCMAKE_CUDA_FLAGS=--resource-usage",
        ],
        ["cmake", "--build", str(folder), "-j2"],
    ):  # fmt: skip
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        log += done.stdout
        assert done.returncode == 0, log[-5000:]
    return SimpleNamespace(path=folder / "sgn_rt" / "plugins" / "libsgn_rt_plugins.so", log=log)
