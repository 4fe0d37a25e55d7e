"""What importing costs, and what each engine says where its package is not installed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import sgn_rt

HEAVY = ("torch", "tensorrt", "pycuda", "cuda", "onnxruntime", "onnx", "onnxscript", "onnx_ir",
         "safetensors", "matplotlib", "sklearn", "umap", "openvino", "tract", "polygraphy",
         "starlette", "uvicorn", "websockets", "prometheus_client", "python_multipart",
         "opentelemetry", "httpx", "anyio", "playwright", "tritonclient", "google", "grpc", "ray",
         "pyarrow", "pandas", "mir_eval", "museval", "musdb", "stempeg", "fast_bss_eval",
         "jsonschema", "pynvml", "mlperf_loadgen")  # fmt: skip
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
        ("torch", 'pip install "torch>='),
        ("onnxruntime", 'pip install "onnxruntime>='),
        ("onnxruntime-cuda", 'pip install "onnxruntime-gpu>='),
        ("onnxruntime-tensorrt", 'pip install "onnxruntime-gpu>='),
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
    for part in ("onnxruntime: ", "torch: ", 'pip install "onnxruntime>='):
        assert part in message


def test_unknown_names():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sgn_rt.nothing


def test_dir_lists_what_is_not_loaded_yet():
    listed = run("""
        import sgn_rt
        assert "sgn_rt.separator" not in sys.modules
        print(*dir(sgn_rt))
    """)
    assert set(sgn_rt.__all__) <= set(listed.split())


def test_nothing_is_printed_by_a_log_that_nobody_asked_for():
    """Without a handler of its own, Python prints warnings to stderr."""
    run("""
        import logging, sgn_rt
        assert logging.getLogger("sgn_rt.engines").hasHandlers()
    """)
