"""Studies print their tables into their places, and leave the rest of a page alone."""

from __future__ import annotations

import pytest

from sgn_rt.benchmarks.studies.page import written
from sgn_rt.errors import ConfigError


def test_a_page_without_a_place_for_the_table():
    with pytest.raises(ConfigError, match="expected both"):
        written("# Page?", "table", "t")
    page = "a\n<!-- t -->\nold\n<!-- end of t -->\nb"
    assert written(page, "new", "t") == "a\n<!-- t -->\n\nnew\n\n<!-- end of t -->\nb"
    assert written(written(page, "new", "t"), "new", "t") == written(page, "new", "t")
