"""What importing costs, and what each engine says where its package is not installed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import sgn_rt

HEAVY = ("torch", "tensorrt", "pycuda", "cuda", "onnxruntime", "onnx", "onnxscript", "onnx_ir",
         "safetensors", "matplotlib", "openvino", "polygraphy")  # fmt: skip
ROOT = Path(sgn_rt.__file__).parent
NEEDS_TORCH = ("reference", "export", "benchmarks")  # for who has installed it
RUNTIME = sorted(
    ".".join(("sgn_rt", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if path.relative_to(ROOT).parts[0] not in NEEDS_TORCH and path.stem != "__main__"
)

BLOCKER = """
    import importlib, sys

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in HEAVY:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Blocker())
"""


def run(code: str) -> str:
    """Run a program in which none of the heavy packages are installed; what it prints."""
    program = f"HEAVY = {HEAVY!r}\n" + textwrap.dedent(BLOCKER) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_list_of_modules_is_not_empty():
    assert {"sgn_rt", "sgn_rt.separator", "sgn_rt.engines.torch", "sgn_rt.cli"} <= set(RUNTIME)
    assert len(RUNTIME) > 20


def test_importing_the_package_loads_numpy_at_most():
    loaded = run("""
        import sgn_rt
        top = {name.partition(".")[0] for name in sys.modules}
        # What an installed package's .pth file loads at every start of Python is not ours.
        start = ("__main__", "__mp_main__", "__editable__", "_distutils_hack", "_virtualenv")
        own = {"sgn_rt", "sitecustomize"} | {name for name in top if name.startswith(start)}
        print(*sorted(top - own - set(sys.stdlib_module_names)))
    """)
    assert set(loaded.split()) <= {"numpy"}


def test_every_module_imports_without_the_optional_packages():
    out = run(f"""
        for name in {RUNTIME!r}:
            importlib.import_module(name)
            print(name)
        import sgn_rt
        for name in sgn_rt.__all__:
            getattr(sgn_rt, name)
    """)
    assert out.split() == RUNTIME


@pytest.mark.parametrize(
    ("engine", "command"),
    [
        ("torch", "pip install 'sgn-rt[export]'"),
        ("onnxruntime", "pip install 'sgn-rt[cpu]'"),
        ("onnxruntime-cuda", "pip install 'sgn-rt[gpu]'"),
        ("onnxruntime-tensorrt", "pip install 'sgn-rt[gpu]'"),
    ],
)
def test_an_engine_whose_package_is_missing_names_the_command(engine, command):
    message = run(f"""
        import sgn_rt
        from sgn_rt.model.bundle import Bundle
        from sgn_rt.model.contract import Kind, Precision
        from sgn_rt.engines.factory import open_engine
        bundle = Bundle.open()
        # Whatever graphs there are: this engine is to fail for want of its package.
        bundle.find = lambda kind, precision: bundle.artifacts[0]
        try:
            open_engine({engine!r}, bundle)
        except sgn_rt.DependencyError as error:
            print(error)
    """)
    assert message.startswith("the ")
    assert "No module named" in message
    assert command in message


def test_auto_without_any_engine_names_every_reason():
    message = run("""
        import sgn_rt
        try:
            sgn_rt.Separator.open()
        except sgn_rt.EngineError as error:
            print(error)
    """)
    assert message.startswith("engine: got none that can serve (")
    for part in ("onnxruntime: ", "torch: ", "pip install 'sgn-rt[cpu]'"):
        assert part in message


def test_a_package_that_does_not_load_is_told_like_a_missing_one(monkeypatch, fails):
    from sgn_rt._optional import require
    from sgn_rt.errors import DependencyError

    def broken(name):
        raise OSError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr("importlib.import_module", broken)
    with fails(DependencyError, "'torch'", "libcudart.so.12", "pip install 'sgn-rt[export]'"):
        require("torch", extra="export", purpose="engine: the torch engine")


def test_unknown_names():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sgn_rt.nothing
    assert set(sgn_rt.__all__) <= set(dir(sgn_rt)) | set(sgn_rt._HOMES)
