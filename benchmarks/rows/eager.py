"""Eager PyTorch on the CPU, as one would call the reference: all sources of a window at once."""

from __future__ import annotations

from typing import Any

from sgn_rt.benchmarks.rows.around import TorchAround
from sgn_rt.benchmarks.rows.opening import Opening
from sgn_rt.model.contract import Precision


class ChannelsLast(TorchAround):
    """Convolutions in the order of memory in which they are fastest on most processors."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._model = self._model.to(memory_format=self._torch.channels_last)
        self.detail = f"eager, float32, channels-last, {self.detail}"

    def _masked(self, log_magnitude: Any, categories: Any) -> tuple[Any, Any]:
        masks, presence, _ = self._model.masks(log_magnitude, categories)
        return masks, presence


class Twice(ChannelsLast):
    """As its own interface has it: presence first, and then the sources that are there.

    So the network runs twice where nothing is named, and no source is made in vain.
    """

    most_sources = 0

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self.detail = f"{self.detail}, twice where nothing is named"


class Contiguous(ChannelsLast):
    """PyTorch's own order of memory."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._model = self._model.to(memory_format=self._torch.contiguous_format)
        self.detail = f"eager, float32, contiguous, torch {self._torch.__version__}"


class Bfloat16(ChannelsLast):
    """The network under autocast to bfloat16, where the processor has instructions for it.

    With 8 bits of mantissa it does not hold the limits of float16 (published model, presence: 0.12
    of 0.05): it is judged by the widest that this package grants an engine of its own, int8's.

    Raises
    ------
    UnavailableError
        If the processor computes bfloat16 by way of float32.
    """

    precision = Precision.INT8

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        if not has_bfloat16(self._torch):
            raise opening.unavailable(
                "one that computes bfloat16 (AVX512-BF16, AMX or Arm's BF16)", "another processor"
            )
        self.detail = (
            f"autocast to bfloat16, channels-last, within the limits of int8, "
            f"torch {self._torch.__version__}"
        )

    def _masked(self, log_magnitude: Any, categories: Any) -> tuple[Any, Any]:
        with self._torch.autocast("cpu", self._torch.bfloat16):
            return super()._masked(log_magnitude, categories)


def has_bfloat16(torch: Any) -> bool:
    """Whether products in bfloat16 are the processor's own, by PyTorch's query of oneDNN."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
