"""The study of live streams runs; what it counts is tested with the scenario's machinery."""

from __future__ import annotations

import json

from click.testing import CliRunner

from sgn_rt.benchmarks.studies.live_streams import main


def test_it_runs(tmp_path):
    path = tmp_path / "live.json"
    result = CliRunner().invoke(
        main,
        ["--streams", "1", "--minutes", "0.03", "--rate", "11025", "--latency", "0.5",
         "--deadline", "60", "--json", str(path)],
    )  # fmt: skip
    assert result.exit_code in (0, 1), result.output  # memory of a run so short is not flat
    (run,) = json.loads(path.read_text())["runs"]
    assert run["streams"] == 1
    assert run["hub"]["windows"] > 0
    assert run["lateness_s"]["p99"] < 60
