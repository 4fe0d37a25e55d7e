"""``sgn-rt export``: options that do not go together."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("option", ["--shared-weights", "--assignment"])
def test_what_is_of_checkpoints_is_refused_beside_a_module(run, tmp_path, option):
    out = tmp_path / "out"
    result = run(
        "export", "--module", "net:make", "--checkpoint", tmp_path / "w.pt", "-o", out, option
    )
    assert result.code != 0
    assert f"got {option} beside --module" in result.err
    assert not out.exists()
