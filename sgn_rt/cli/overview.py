"""The picture that goes with the stems of a recording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from sgn_rt.audio.recording import open_recording
from sgn_rt.report import SeparationFiles
from sgn_rt.separator import Separator
from sgn_rt.streaming.presence import PresenceRule

PICTURE: Final = "overview.png"
_READING: Final = ("start_s", "duration_s", "salvage")
"""Options that say which part of a recording is separated."""


class Overview:
    """The picture that goes with stems; see `sgn_rt.serving.folders.one.Addition`."""

    name = PICTURE

    def __call__(
        self, separator: Separator, path: Path, files: SeparationFiles, options: Mapping[str, Any]
    ) -> bytes:
        """Draw it, as PNG."""
        from sgn_rt.cli.plot import as_png, draw_overview

        rule = PresenceRule.of(separator.config, options["threshold"])
        count = len(separator.categories)
        limits = np.broadcast_to(np.atleast_1d(rule.thresholds), count).tolist()
        figure = draw_overview(
            open_recording(path, **{key: options[key] for key in _READING}),
            files,
            title=path.name,
            model=separator.bundle.name,
            highest_hz=separator.config.sample_rate / 2,
            thresholds=dict(zip(separator.categories, limits, strict=True)),
        )
        return as_png(figure)
