"""What the network of a window has to do, counted on the reference: products, and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sgn_rt._optional import require
from sgn_rt.model.sgn_config import SgnConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Of one window, all categories, in float32.

    Attributes
    ----------
    flop
        Multiplications and additions of convolutions and matrix products.
    bytes
        That these read and write, layer by layer, each element once: weights and activations.
        What lies between them (norms, activations) can be part of them, and costs nothing.
    """

    flop: int
    bytes: int


def work_of(config: SgnConfig) -> Work:
    """Count it by PyTorch's own rules, on tensors that have shapes alone: nothing is computed.

    Raises
    ------
    DependencyError
        If PyTorch is not installed.
    """
    torch: Any = require("torch", extra="export", purpose="counting the network's products")
    dispatch: Any = import_module("torch.utils._python_dispatch")
    counter: Any = import_module("torch.utils.flop_counter")

    from sgn_rt.reference.model import Sgn

    class Bytes(dispatch.TorchDispatchMode):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.total = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            del types
            result = func(*args, **(kwargs or {}))
            if func.overloadpacket in counter.flop_registry:
                flat = (*args, *(result if isinstance(result, tuple) else (result,)))
                tensors = (x for x in flat if isinstance(x, torch.Tensor))
                self.total += sum(x.numel() * x.element_size() for x in tensors)
            return result

    with torch.device("meta"), torch.no_grad():
        model = Sgn(config).eval()
        window = torch.empty(1, 1, config.frequency_bins, config.frames)
        categories = torch.arange(len(config.categories), device="meta")
        with counter.FlopCounterMode(display=False) as counted, Bytes() as moved:
            model.masks(window, categories)
    return Work(flop=int(counted.get_total_flops()), bytes=moved.total)
