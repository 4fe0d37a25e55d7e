"""What is told of a separated recording, as JSON: the same from the shell and from the server."""

from __future__ import annotations

from typing import Any

from sgn_rt.report import SeparationFiles
from sgn_rt.separator import Separator


def as_json(
    name: str, files: SeparationFiles, separator: Separator, checked: int
) -> dict[str, Any]:
    """What is told of a recording, as JSON types.

    Parameters
    ----------
    name
        The recording's.
    files
        What was made of it.
    separator
        By which.
    checked
        Windows that it had checked before.
    """
    told = files.to_dict()
    told["engine"]["detail"] = separator.engine.detail
    return {
        "input": name,
        "model": separator.bundle.name,
        "model_sample_rate": separator.config.sample_rate,
        **told,
        "parity": {result.stage: result.to_dict() for result in separator.parity},
        "checked_windows": separator.checked_windows - checked,
    }
