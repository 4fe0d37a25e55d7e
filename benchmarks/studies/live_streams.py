"""How many live streams a machine holds: a hub fed as fast as the music sounds, and how late it is.

``python -P -m sgn_rt.benchmarks.studies.live_streams`` runs 16 streams of 1 s latency for 10
minutes and exits with 1 where the 99th percentile of lateness is beyond the deadline, a stream was
refused, or memory has grown. ``--most`` looks for the largest number that holds, in shorter runs. A
run ends as soon as it cannot hold any more.

Lateness is as `sgn_rt.benchmarks.scenarios.live` has it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from sgn_rt._processors import available_cpus
from sgn_rt.benchmarks.machine.environment import describe
from sgn_rt.benchmarks.scenarios.live import Outcome, largest, music_at, run
from sgn_rt.separator import Separator


@click.command()
@click.option("--streams", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--latency", "latency_s", type=float, default=1.0, show_default=True,
              help="Of each stream, seconds.")  # fmt: skip
@click.option("--minutes", type=click.FloatRange(min=0.0, min_open=True), default=10.0,
              show_default=True, help="Of music in each.")  # fmt: skip
@click.option("--deadline", "deadline_s", type=float, default=0.2, show_default=True,
              help="How late a window may be, seconds.")  # fmt: skip
@click.option("--rate", type=int, default=44_100, show_default=True, help="Of the streams, Hz.")
@click.option("--category", default="piano", show_default=True)
@click.option("--bundle", type=click.Path(path_type=Path), help="The model; that which ships.")
@click.option("--engine", default="auto", show_default=True)
@click.option("--most", is_flag=True, help="Find the largest number that holds; --minutes of each.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write figures.")
def main(
    streams: int,
    latency_s: float,
    minutes: float,
    deadline_s: float,
    rate: int,
    category: str,
    bundle: Path | None,
    engine: str,
    most: bool,
    json_path: Path | None,
) -> None:
    """Measure how late live streams of one hub are on this machine."""
    outcomes: list[Outcome] = []
    machine = describe(available_cpus())
    with Separator.open(bundle, engine) as separator:
        music = music_at(rate, separator.config.sample_rate)
        click.echo(f"{machine['cpu']}, {machine['threads']} processors; {separator.engine.name}")

        def attempt(number: int) -> bool:
            with separator.hub(deadline_s=deadline_s, share=1.0) as hub:
                outcome = run(
                    hub, music, number, 60.0 * minutes, deadline_s,
                    sample_rate=rate, categories=[category], latency_s=latency_s,
                )  # fmt: skip
            outcomes.append(outcome)
            click.echo(outcome.line())
            return outcome.holds(deadline_s)

        if most:
            found = largest(attempt, streams)
            click.echo(f"the most streams in time: {found}")
        is_well = most or (attempt(streams) and outcomes[-1].is_flat)
    if json_path is not None:
        found_by = {"machine": machine, "runs": [asdict(outcome) for outcome in outcomes]}
        json_path.write_text(json.dumps(found_by, indent=2) + "\n", encoding="utf-8")
    raise SystemExit(0 if is_well else 1)


if __name__ == "__main__":
    main()
