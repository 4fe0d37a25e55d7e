"""Names for the arrays that go around."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.float32]
"""Audio (full scale 1), masks and probabilities alike."""

Positions: TypeAlias = NDArray[np.int64]
"""Positions of categories in the configuration's list, shape = (S,)."""
