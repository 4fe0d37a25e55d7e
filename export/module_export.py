"""PyTorch's exporter on a user's network: what it cannot take is named by operator and line."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import nn

from sgn_rt.errors import ModuleError
from sgn_rt.reference.user_code import line_in, told

_OPERATOR: Final = re.compile(r"target=(?:torch\.ops\.)?([\w.]+)|\bOpOverload\(op='([\w.:]+)'")
_NO_DECOMPOSITION: Final = re.compile(
    r"No (?:ONNX function|decompositions?) (?:found )?for ([\w.:]+)"
)


def program_of(
    module: nn.Module, examples: tuple[torch.Tensor, ...], shapes: Any, spec: str
) -> torch.export.ExportedProgram:
    """A network as a graph of PyTorch's operators.

    Raises
    ------
    ModuleError
        If it cannot be one for any batch and any number of categories.
    """
    try:
        with _without_warnings():
            return torch.export.export(module, examples, dynamic_shapes=shapes, strict=False)
    except Exception as error:
        fixed = "onstraint" in str(error) or "pecializ" in str(error)
        raise ModuleError(
            f"{spec}: got {_reason(error)} from torch.export, expected a network for any batch and "
            "any number of categories. "
            + (
                "Take sizes from x.shape and categories.shape: len() and int() fix them."
                if fixed
                else "Write that line without Python's own branches on values of tensors."
            )
        ) from error


def onnx_program(
    program: torch.export.ExportedProgram,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    opset: int,
    spec: str,
) -> Any:
    """That graph in ONNX's operators.

    Raises
    ------
    ModuleError
        Naming the operator that there is none for, and the line of the user's module.
    """
    try:
        with _without_warnings():
            return torch.onnx.export(
                program, dynamo=True, verbose=False, input_names=list(inputs),
                output_names=list(outputs), opset_version=opset,
            )  # fmt: skip
    except Exception as error:
        operator, line = _unsupported(error, program)
        got = f"the operator {operator}{line}" if operator else _reason(error)
        raise ModuleError(
            f"{spec}: got {got}, expected operators that ONNX has. Write it in others."
        ) from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Whether a graph is right is seen when it is proved, whatever its maker doubted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _unsupported(error: BaseException, program: torch.export.ExportedProgram) -> tuple[str, str]:
    """Operator, as far as the exporter says, and the user's line that it comes from."""
    operator = ""
    each: BaseException | None = error
    while each is not None and not operator:
        found = _OPERATOR.search(str(each)) or _NO_DECOMPOSITION.search(str(each))
        if found:
            operator = next(group for group in found.groups() if group)
        each = each.__cause__ or each.__context__
    parts = re.split(r"[.:]+", operator)
    name = parts[1] if len(parts) > 1 else operator
    for node in program.graph.nodes:
        # What it was decomposed to bears a name that is part of its own.
        if name and node.op == "call_function" and name in str(node.target):
            return str(node.target), line_in(str(node.meta.get("stack_trace")))
    return operator, ""


def _reason(error: BaseException) -> str:
    return told(error).replace("\n", " ")
