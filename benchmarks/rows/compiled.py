"""The network by ``torch.compile``: fused and compiled once, for the CPU by a C++ compiler."""

from __future__ import annotations

import warnings
from typing import Any, Final

from sgn_rt.benchmarks.rows.eager import ChannelsLast
from sgn_rt.benchmarks.rows.opening import Opening
from sgn_rt.engines.base import first_line
from sgn_rt.errors import EngineError

COMPILER_COMMAND: Final = "apt-get install g++"


class Compiled(ChannelsLast):
    """Channels-last; the transforms, in complex numbers, which are not compiled, stay eager.

    Masks are made behind it: their number differs from call to call, and each would be compiled
    for anew.

    Raises
    ------
    UnavailableError
        If there is no C++ compiler.
    EngineError
        If it does not compile.
    """

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        if opening.device == "cpu":
            _expect_compiler(opening)
        self._network_of = self._torch.compile(self._model.network)
        self.detail = (
            f"torch.compile of the network, float32, channels-last, torch {self._torch.__version__}"
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._warm_up()
        except Exception as error:  # whatever the compiler, or what it has made, raises
            raise EngineError(
                f"{self.name}: got {type(error).__name__}: {first_line(error)}, expected "
                "torch.compile to compile the network. Leave this row out."
            ) from error

    def _masked(self, log_magnitude: Any, categories: Any) -> tuple[Any, Any]:
        basis, guide, presence, _ = self._network_of(log_magnitude)
        return self._model.mask(basis, guide.index_select(1, categories)), presence


def _expect_compiler(opening: Opening) -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise opening.unavailable(
            "a C++ compiler, which torch.compile needs", "none", COMPILER_COMMAND
        ) from error
