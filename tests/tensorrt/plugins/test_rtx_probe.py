"""The engine of the plugins alone, and what TensorRT for RTX's parser needs for them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sgn_rt.checks.tensorrt.plugin_parity import build_probe
from sgn_rt.errors import ConfigError
from sgn_rt.model.contract import FLOATS


@pytest.mark.parametrize("precision", FLOATS)
def test_the_probe_of_the_plugins_builds(rtx, library, small_config, precision):
    config = small_config(n_fft=1022, hop_length=256, frequency_bins=256, frames=256)
    content = build_probe(rtx, config, precision, library, "sm89")
    assert b"Stft" in content
    assert b"Istft" in content
    with pytest.raises(ConfigError, match="gpu: got 'sm90'"):
        build_probe(rtx, config, precision, library, "sm90")


def test_the_parser_does_not_end_the_process(library, tmp_path):
    """In a new process, where nothing has loaded the library under its unversioned name."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from sgn_rt.tensorrt.bindings import Flavor, load, load_plugins\n"
        "trt = load(Flavor.RTX)\n"
        "builder = trt.module.Builder(trt.module.Logger())\n"
        "registry = builder.get_plugin_registry()\n"
        "load_plugins(trt, registry, Path(sys.argv[1]))\n"
        "load_plugins(trt, registry, Path(sys.argv[1]))\n"
        "import ctypes\n"
        "ctypes.CDLL('libtensorrt_rtx.so').getInferLibVersion\n"
    )
    subprocess.run([sys.executable, script, library], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("Runtime", ["deserialize_cuda_engine", "get_plugin_registry", "engine_host_code_allowed"]),
        ("ICudaEngine", ["create_execution_context", "create_runtime_config", "num_io_tensors",
                         "get_tensor_name", "get_tensor_dtype", "get_tensor_mode",
                         "create_engine_inspector"]),
        ("IExecutionContext", ["set_input_shape", "set_tensor_address", "infer_shapes",
                               "get_tensor_shape", "execute_async_v3"]),
        ("IRuntimeConfig", ["cuda_graph_strategy", "create_runtime_cache", "set_runtime_cache",
                            "dynamic_shapes_kernel_specialization_strategy"]),
        ("IRuntimeCache", ["serialize", "deserialize"]),
        ("CudaGraphStrategy", ["DISABLED"]),
        ("DynamicShapesKernelSpecializationStrategy", ["EAGER"]),
        ("LayerInformationFormat", ["JSON"]),
    ],
)  # fmt: skip
def test_what_only_a_gpu_reaches_has_the_names_that_are_used(rtx, kind, names):
    assert [name for name in names if not hasattr(getattr(rtx.module, kind), name)] == []
