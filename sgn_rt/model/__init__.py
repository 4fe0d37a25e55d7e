"""What a model is, and what it promises; NumPy and SciPy only."""

import sgn_rt.model.sgn_config  # noqa: F401 - by which its format is known wherever one is read
