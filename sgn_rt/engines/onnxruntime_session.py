"""A session of ONNX Runtime: one graph on one provider, or an error."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from types import ModuleType
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sgn_rt._optional import pip_command, require
from sgn_rt.engines.base import first_line
from sgn_rt.engines.confined import SECONDS_A_WINDOW, TimeLimit, expect_version, without_files
from sgn_rt.errors import EngineError, UnavailableError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.graph_file import expect_described, expect_inside
from sgn_rt.tensorrt.bindings import Flavor, is_installed
from sgn_rt.tensorrt.device.factory import has_driver

log = logging.getLogger(__name__)

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"

Options = Mapping[str, str]
"""Of a provider, as ONNX Runtime reads them."""


def load_onnxruntime(provider: str) -> ModuleType:
    """The package, if it has a provider.

    Raises
    ------
    DependencyError
        If it is not installed, or too old.
    UnavailableError
        If it is there without the provider.
    """
    extra = "cpu" if provider == CPU else "gpu"
    ort = require("onnxruntime", extra=extra, purpose=f"the onnxruntime engine on {provider}")
    expect_version(ort, extra)
    available = ort.get_available_providers()
    if provider not in available:
        raise UnavailableError(
            f"onnxruntime: provider: got only {', '.join(available)}, expected {provider}. "
            "Put onnxruntime-gpu and its CUDA libraries in the place of onnxruntime: "
            f"pip uninstall onnxruntime, then {pip_command('gpu')}",
            command=f"pip uninstall -y onnxruntime && {pip_command('gpu')}",
        )
    if provider != CPU and hasattr(ort, "preload_dlls"):
        # CUDA and cuDNN from wheels lie where no loader looks. What fails to load it prints,
        # where the samples of a stream may be going; the session will say it, too.
        with redirect_stdout(io.StringIO()) as said:
            ort.preload_dlls()
        if text := said.getvalue().strip():
            log.info("onnxruntime: libraries of CUDA: %s", text)
    return ort


class Runs(Protocol):
    """Runs one graph: a session of ONNX Runtime, or of whatever else reads ONNX."""

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[Any]:
        """The outputs named, of these inputs."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Session:
    """An ONNX Runtime session on one provider, or an error: never another provider in its place.

    Parameters
    ----------
    ort
        The package, from `load_onnxruntime`.
    bundle, artifact
        The graph.
    providers
        Name and options of the provider, and of one that takes what it leaves.

    Attributes
    ----------
    version
        Of ONNX Runtime.

    Raises
    ------
    UnavailableError
        If what the provider loads is not here.
    BundleError, EngineError
        If the graph does not load.
    """

    def __init__(
        self,
        ort: Any,
        bundle: Bundle,
        artifact: Artifact,
        providers: Sequence[tuple[str, Options]],
    ) -> None:
        provider = providers[0][0]
        options = ort.SessionOptions()
        options.log_severity_level = 4
        # Whole windows run side by side, one thread each: better than threads inside of one.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        content = bundle.read(artifact.path)
        expect_inside(content, artifact.external, f"onnxruntime: {artifact.path}")
        expect_described(content, bundle, artifact, f"onnxruntime: {artifact.path}")
        held = [bundle.read(name) for name in artifact.external]
        if held:
            options.add_external_initializers_from_files_in_memory(
                list(artifact.external), held, [len(content) for content in held]
            )
        wanted = [(name, dict(settings)) for name, settings in providers]
        try:
            with without_files(options):
                # A provider that fails would be replaced, here and in any later call, with
                # nothing but a line on stdout.
                self._session: Any = ort.InferenceSession(
                    content, options, providers=wanted, enable_fallback=0
                )
        except Exception as error:  # ONNX Runtime's exceptions have no common base but this
            raise EngineError(
                f"onnxruntime: {artifact.path}: got {first_line(error)}, expected a graph that "
                f"{provider} loads. Export the bundle again, or choose another engine."
            ) from error
        self._expect_providers([name for name, _ in providers])
        self._run_options, self._limit = ort.RunOptions, TimeLimit(SECONDS_A_WINDOW)
        self.version = str(ort.__version__)

    def _expect_providers(self, wanted: list[str]) -> None:
        running = self._session.get_providers()
        if running[: len(wanted)] == wanted:
            return
        # The providers are in the package; what they load belongs to the machine.
        missing = TENSORRT in wanted and not is_installed(Flavor.TENSORRT)
        kind = UnavailableError if missing or not has_driver() else EngineError
        raise kind(
            f"onnxruntime: provider: got {', '.join(running)}, expected {', '.join(wanted)}. "
            "Its libraries failed to load: check the CUDA installation, or choose another "
            "engine."
        )

    @property
    def outputs(self) -> frozenset[str]:
        """Names of what the graph gives."""
        return frozenset(str(value.name) for value in self._session.get_outputs())

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[Any]:
        """Run the part of the graph that the outputs need; all in memory of the host."""

        def call(session: Any, options: Any) -> list[Any]:
            results: list[Any] = session.run(list(outputs), inputs, options)
            return results

        return self._call(call, inputs)

    def run_on_gpu(
        self,
        inputs: Mapping[str, NDArray[Any]],
        *,
        brought: Sequence[str],
        left: Sequence[str],
        ordinal: int,
    ) -> list[Any]:
        """As `run`, with some outputs left on the GPU.

        Parameters
        ----------
        inputs
            Name -> array in memory of the host.
        brought
            Outputs that come to the host.
        left
            Outputs that stay, on the GPU of that number.
        ordinal
            Of the session's own GPU.

        Returns
        -------
        list
            An ``OrtValue`` for each, those ``brought`` first; ``numpy()`` has its content.
        """

        def call(session: Any, options: Any) -> list[Any]:
            binding = session.io_binding()
            for name, array in inputs.items():
                binding.bind_cpu_input(name, np.ascontiguousarray(array))
            for name in brought:
                binding.bind_output(name, "cpu")
            for name in left:
                binding.bind_output(name, "cuda", ordinal)
            session.run_with_iobinding(binding, options)
            outputs: list[Any] = binding.get_outputs()
            return outputs

        return self._call(call, inputs)

    def _call(self, call: Any, inputs: Mapping[str, NDArray[Any]]) -> list[Any]:
        session = self._session
        if session is None:
            raise EngineError("onnxruntime: got a call after close, expected none. Open another.")
        options = self._run_options()
        options.only_execute_path_to_fetches = True
        windows = len(next(iter(inputs.values())))
        try:
            with self._limit.on(options, windows):
                results: list[Any] = call(session, options)
        except Exception as error:  # as above
            got = "no end, for minutes" if options.terminate else first_line(error)
            raise EngineError(
                f"onnxruntime: got {got}, expected a result. Choose another engine."
            ) from error
        return results

    def close(self) -> None:
        """Let go of the session; runs that are under way end first."""
        self._session = None
