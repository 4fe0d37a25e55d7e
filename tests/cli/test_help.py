"""What the command line shows of itself."""

from __future__ import annotations

from sgn_rt.cli import COMMANDS


def test_help_names_every_command(run):
    result = run("--help")
    for name in COMMANDS:
        assert name in result.out
        assert run(name, "--help").code == 0
