"""What stands beside a model repository: the lines that serve it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import sgn_rt
from sgn_rt.model.bundle import Bundle
from sgn_rt.serving.triton import wire
from sgn_rt.serving.triton.configs import Serving
from sgn_rt.serving.triton.environment import MODELS_FOLDER

_WHAT = {
    wire.WINDOWS: "windows of the network, joined into batches (Python backend)",
    wire.LIVE: "live streams, one a sequence (Python backend)",
    "onnx": "a graph (ONNX Runtime backend)",
    "plan": "TensorRT engines, one for each GPU (TensorRT backend)",
    "pair": "from mixture to sources: network and synthesis, ensemble of two plans",
}


_STOP_S = 15
"""What models take to end, at most."""


def command(models: Sequence[str], serving: Serving, *, library: str | None) -> str:
    """The line that serves some models of a repository, in its folder.

    To Triton a live stream is work in flight until it ends or is given up, and where it ends before
    that its models are killed and leave shared memory.
    """
    plugins = [] if library is None else [f'--backend-config=tensorrt,plugins="$PWD/{library}"']
    words = [
        "tritonserver",
        f'--model-repository="$PWD/{MODELS_FOLDER}"',
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in models),
        *plugins,
        f"--exit-timeout-secs={ceil(serving.idle_s) + _STOP_S}",
    ]
    return " \\\n  ".join(words)


def readme(
    bundle: Bundle,
    models: Sequence[str],
    serving: Serving,
    *,
    library: str | None,
    is_python: bool,
) -> str:
    """The page.

    Parameters
    ----------
    bundle
        That the models are of.
    models
        Their names.
    serving
        How they are served.
    library
        The plugin library, relative to the repository; None where there is none.
    is_python
        Whether there are models of the Python backend.
    """
    rows = [f"| `{name}` | {_what(name)} |" for name in models]
    paragraphs = [
        f"# {bundle.name} for Triton Inference Server",
        f"Written by sgn-rt {sgn_rt.__version__}. In this folder:",
        f"```bash\n{command(models, serving, library=library)}\n```",
        "\n".join(["| model | what it serves |", "| --- | --- |", *rows]),
        "Mode `explicit` is what lets a client load a model again whose process has died. Add "
        "`--http-address`, `--grpc-address` and `--metrics-address` to listen on one address only.",
    ]
    if library is not None:
        paragraphs.append(
            "The plugin library is bound to the TensorRT that it was built against. A plan runs on "
            "the TensorRT that built it: take the Triton release that has it."
        )
    if is_python:
        paragraphs += _of_python(serving)
    return "\n\n".join(paragraphs) + "\n"


def _what(name: str) -> str:
    return _WHAT[name.rpartition("_")[2]]


def _of_python(serving: Serving) -> list[str]:
    return [
        f"`{wire.WINDOWS}` and `{wire.LIVE}` run on the Python that comes first on `PATH`, whose "
        "minor version has to be that of Triton's stub; `PYTHONPATH` is not looked at there. It "
        "needs sgn-rt with an engine, and NumPy 1 with Triton up to 2.51 at least: with NumPy 2 "
        "answers have no content, so the models refuse to load.",
        "```bash\npython -m venv env\n"
        'env/bin/pip install "path/to/the/sources/of/sgn-rt[cpu]" "numpy<2"\n'
        'export PATH="$PWD/env/bin:$PATH"\n```',
        f"A live stream holds one of {serving.slots} slots of an instance and is given up after "
        f"{serving.idle_s:g} s without a block.",
    ]
