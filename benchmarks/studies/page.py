"""A table that a study has made, in its place on a page of the docs."""

from __future__ import annotations

import re

from sgn_rt.errors import ConfigError


def written(page: str, text: str, place: str) -> str:
    """A page with ``text`` between the comments ``PLACE`` and ``end of PLACE``.

    Raises
    ------
    ConfigError
        If it has no such place.
    """
    begin, end = f"<!-- {place} -->", f"<!-- end of {place} -->"
    parts = re.fullmatch(f"(.*{begin}\n).*(\n{end}.*)", page, re.DOTALL)
    if parts is None:
        raise ConfigError(
            f"page: got one without the lines {begin} and {end}, expected both. Put them in."
        )
    return f"{parts[1]}\n{text}\n{parts[2]}"
