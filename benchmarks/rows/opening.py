"""What every row is opened with, and the few things that most of them need for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sgn_rt._optional import require
from sgn_rt._processors import available_cpus
from sgn_rt.engines.base import first_line
from sgn_rt.engines.onnxruntime_session import CPU
from sgn_rt.errors import EngineError, UnavailableError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT

TORCH_COMMAND: Final = "pip install --upgrade --force-reinstall torch"
"""Of the index: for CUDA, on Linux."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a row is opened with.

    Attributes
    ----------
    name
        Of the row.
    bundle
        The model.
    threads
        Processors to use.
    folder
        Graphs that are made of the model for it are kept here, and found again.
    device
        Where PyTorch computes, as it names it.
    """

    name: str
    bundle: Bundle
    threads: int
    folder: Path
    device: str = "cpu"

    @property
    def ordinal(self) -> int:
        """Number of the GPU."""
        return int(self.device.partition(":")[2] or 0)

    def require(self, module: str, extra: str) -> Any:
        """A package that the row needs.

        Raises
        ------
        DependencyError
            If it is not installed.
        """
        return require(module, extra=extra, purpose=f"the row {self.name}")

    def torch(self) -> Any:
        """PyTorch; the number of its threads is set, for the whole process.

        Raises
        ------
        DependencyError
            If it is not installed.
        """
        torch = self.require("torch", "export")
        torch.set_num_threads(self.threads)
        return torch

    def torch_on_gpu(self) -> Any:
        """As `torch`, where it has a GPU.

        Raises
        ------
        DependencyError
            If it is not installed.
        UnavailableError
            If it is built without CUDA, or sees no GPU.
        """
        torch = self.torch()
        if torch.version.cuda is None:
            raise self.unavailable(
                "one for CUDA", f"PyTorch {torch.__version__}, built without it", TORCH_COMMAND
            )
        if not torch.cuda.is_available():
            raise self.unavailable("a GPU that it can use", f"none for PyTorch {torch.__version__}")
        return torch

    def reference(self) -> Any:
        """The model in PyTorch, float32 on the CPU.

        Raises
        ------
        DependencyError
            If PyTorch is not installed.
        UnavailableError
            If the bundle has no checkpoint.
        """
        self.torch()
        if not self.bundle.has_checkpoint:
            raise UnavailableError(
                f"{self.name}: got a bundle without {BUNDLE_CHECKPOINT}, expected one with it. "
                "Export the bundle again."
            )
        from sgn_rt.reference import load_content

        content = self.bundle.read(BUNDLE_CHECKPOINT)
        return load_content(content, self.bundle.root / BUNDLE_CHECKPOINT)

    def session(
        self, ort: Any, graph: str | bytes, what: str, providers: Sequence[Any] = (CPU,)
    ) -> Any:
        """A session of ONNX Runtime, by default options but for the number of threads.

        Parameters
        ----------
        ort
            The package, as `require` gives it.
        graph
            Its file, or its content.
        what
            It is called in the message.
        providers
            Names, or names with options.

        Raises
        ------
        EngineError
            If it does not load.
        """
        options = ort.SessionOptions()
        options.log_severity_level = 4
        if self.threads != available_cpus():
            options.intra_op_num_threads = self.threads
        try:
            return ort.InferenceSession(graph, options, providers=list(providers))
        except Exception as error:  # ONNX Runtime's exceptions have no common base but this
            raise EngineError(
                f"{self.name}: got {first_line(error)}, expected ONNX Runtime to load {what}. "
                "Leave this row out."
            ) from error

    def unavailable(self, expected: str, got: str, command: str | None = None) -> UnavailableError:
        """That the machine, or a package, lacks what the row needs."""
        advice = f"Install it with: {command}" if command else "Leave this row out."
        return UnavailableError(
            f"{self.name}: got {got}, expected {expected}. {advice}", command=command
        )
