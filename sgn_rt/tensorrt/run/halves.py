"""Network and synthesis of a pair seen apart, for parity: each run alone, on arrays of the host."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float, Positions
from sgn_rt.errors import EngineError
from sgn_rt.model.contract import Tensor
from sgn_rt.tensorrt.run.buffers import Buffers
from sgn_rt.tensorrt.run.runtime import Call, LoadedEngine, Model

_LARGEST_LOGIT: Final = 16.0
"""Of a mask that is given: what is closer to 0 or 1 than 1e-7 is no nearer than float32 knows."""


class Halves:
    """The two engines of a model, one at a time.

    What goes from one to the other are basis maps, channels last, of which a mask is the sigmoid of
    a weighted sum. So masks of the network are made here, in float32, of its maps and its guide;
    and a mask is given to the synthesis as a map that is its logit, with a weight of 1.
    """

    def __init__(self, model: Model) -> None:
        assert model.synthesis is not None
        self._model, self._network, self._synthesis = model, model.network, model.synthesis

    def masks(self, mixture: Float, categories: Positions) -> Float:
        """Masks of a window [N] as the network has them, shape = (S, L, T), float32.

        Raises
        ------
        EngineError
            If the engine or the device fails.
        """
        found = self._run(self._network, Call(1, 0), {Tensor.MIXTURE: mixture[None]})
        guide = found[Tensor.GUIDE][0, categories]
        config = self._network.config
        plane = (config.frequency_bins, config.frames)
        maps = found[Tensor.BASIS].reshape(*plane, -1).astype(np.float32)
        weights, bias = guide[:, :-1], guide[:, -1]
        logits = maps[..., : weights.shape[1]] @ weights.T + bias
        masks: Float = 1.0 / (1.0 + np.exp(-logits))
        return np.ascontiguousarray(masks.transpose(2, 0, 1))

    def sources(self, spectrum: NDArray[np.complex64], masks: Float) -> Float:
        """What the synthesis makes of a spectrum [F, T] and masks [S, L, T]: shape = (S, N).

        Raises
        ------
        EngineError
            As `masks`.
        """
        with np.errstate(divide="ignore"):
            logits = np.log(masks) - np.log1p(-masks)
        logits = np.clip(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT)
        # As many at a time as there are maps for, and categories to name them by.
        loaded, config = self._synthesis, self._synthesis.config
        known, maps = len(config.categories), config.maps
        most = min(known, maps, loaded.max_sources)
        sources = []
        for at in range(0, len(masks), most):
            part = logits[at : at + most]
            call = Call(1, len(part))
            shape = (config.frequency_bins, config.frames, -1)
            basis = np.zeros(loaded.shape(Tensor.BASIS, call), loaded.dtype(Tensor.BASIS))
            basis.reshape(shape)[..., : len(part)] = part.transpose(1, 2, 0)
            guide = np.zeros(loaded.shape(Tensor.GUIDE, call), np.float32)
            np.fill_diagonal(guide[0, :, :-1], 1.0)
            parts = np.stack([spectrum.real, spectrum.imag], axis=-1).transpose(1, 0, 2)
            given = {
                Tensor.SPECTRUM: parts[None],
                Tensor.BASIS: basis,
                Tensor.GUIDE: guide,
                Tensor.CATEGORIES: np.arange(len(part)),
            }
            sources.append(self._run(loaded, call, given)[Tensor.SOURCES][0])
        return np.concatenate(sources)

    def _run(
        self, loaded: LoadedEngine, call: Call, given: Mapping[Tensor, NDArray[Any]]
    ) -> dict[Tensor, NDArray[Any]]:
        """Every output of an engine in a context of its own."""
        device = self._model.device
        with device.current():
            context, stream, buffers = loaded.new_context(), device.stream(), Buffers(device)
            try:
                for name in loaded.tensors:
                    buffers.fit(name, loaded.nbytes(name, call), staged=True)
                    context.set_address(name, buffers.address(name))
                for name, array in given.items():
                    shape = loaded.shape(name, call)
                    buffers.host(name, loaded.dtype(name), shape)[...] = array.reshape(shape)
                    buffers.upload(name, stream)
                context.set_call(call, stream.handle)
                with loaded.lock:
                    context.execute(stream.handle)
                for name in loaded.outputs:
                    buffers.download(name, stream)
                stream.synchronize()
                return {
                    name: buffers.host(name, loaded.dtype(name), loaded.shape(name, call)).copy()
                    for name in loaded.outputs
                }
            finally:
                for close in (buffers.close, stream.close):
                    with suppress(EngineError):  # whatever failed has been raised where it did
                        close()
