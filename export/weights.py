"""Weights of a graph as PyTorch's tensors (`sgn_rt.model.weight_recipes`)."""

from __future__ import annotations

import numpy as np
import torch

from sgn_rt.model.weight_recipes import WeightRecipes
from sgn_rt.reference.model import Sgn


class GraphWeights(WeightRecipes):
    """Those of a network that is loaded."""

    def __init__(self, model: Sgn) -> None:
        tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        super().__init__(model.config, tensors)

    def __getitem__(self, name: str) -> torch.Tensor:
        return torch.from_numpy(np.array(self.value(name)))
