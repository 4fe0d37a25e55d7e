"""How much a command tells: ``-q`` and ``-v``."""

from __future__ import annotations

import logging

import click
import pytest
from click.testing import CliRunner

from sgn_rt.cli.common import console, table
from sgn_rt.cli.verbosity import verbosity_options


@pytest.fixture
def call():
    @click.command
    @verbosity_options
    def command() -> None:
        log = logging.getLogger("sgn_rt.somewhere")
        log.debug("in detail")
        log.info("what happens\x1b[2J")
        console().print("result")
        rows = table("column")
        rows.add_row("cell")
        console().print(rows)

    def invoke(*arguments):
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code == 0
        return result

    return invoke


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), ""),
        (("-v",), "sgn-rt: info: what happens\\x1b[2J\n"),
        (("-vv",), "sgn-rt: debug: in detail\nsgn-rt: info: what happens\\x1b[2J\n"),
    ],
)
def test_verbose_tells_of_the_log(call, arguments, told):
    result = call(*arguments)
    assert result.stderr == told
    assert "result" in result.stdout
    package = logging.getLogger("sgn_rt")
    assert package.level == logging.NOTSET
    assert [type(handler) for handler in package.handlers] == [logging.NullHandler]


def test_quiet_prints_no_results(call):
    assert call("-q").output == ""
