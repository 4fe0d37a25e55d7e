"""What each source that is asked for costs, of a model with hundreds of categories.

Random weights of the published sizes. Each number of sources is separated by processes of their
own, in turn, from a recording of a few windows to stems on the disk. Run
``python -P -m sgn_rt.benchmarks.studies.source_cost``; half a minute of it makes the model.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sgn_rt._processors import available_cpus
from sgn_rt.benchmarks.result import Figure
from sgn_rt.benchmarks.rows.networks import many_categories
from sgn_rt.benchmarks.rows.subjects import gather
from sgn_rt.benchmarks.scenarios import isolated
from sgn_rt.benchmarks.scenarios.setting import Setting
from sgn_rt.benchmarks.scenarios.sources import NAME, counts
from sgn_rt.model.bundle import Bundle

ENGINE: Final = "onnxruntime"
SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one number of sources: seconds, and bytes in millions at most."""

    sources: int
    seconds: float
    peak_mb: float


def measure(bundle: Bundle, folder: Path, threads: int, repeats: int) -> list[Cost]:
    """Time and peak memory of each number of sources, the fewest first.

    Raises
    ------
    EngineError
        If a process fails.
    """
    setting = Setting(bundle=bundle, threads=threads, folder=folder)
    (subject,) = gather([ENGINE], bundle, threads, folder)
    names = bundle.config.categories
    cases = [
        isolated.Case(
            subject=subject, case=f"{count} of {len(names)}", x=count,
            categories=list(names[:count]), recording=setting.recording(SECONDS), total=False,
        )
        for count in counts(len(names))
    ]  # fmt: skip
    found = isolated.figures(NAME, cases, setting, repeats=repeats, tell=lambda _: None)
    if subject.engine is not None:
        subject.engine.close()
    return costs(found)


def costs(figures: Sequence[Figure]) -> list[Cost]:
    """Time and memory out of the figures of the processes."""
    by_count: dict[float, dict[str, float]] = {}
    for figure in figures:
        by_count.setdefault(figure.x or 0.0, {})[figure.name] = figure.value
    return [
        Cost(int(x), by_name["time"], by_name["peak memory"])
        for x, by_name in sorted(by_count.items())
    ]


def table(found: Sequence[Cost]) -> str:
    """As Markdown; each source's own is the step from the line above, over the sources between."""
    lines = [
        "| sources | time, s | each more, ms | peak memory, MB | each more, MB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for before, cost in zip([None, *found[:-1]], found, strict=True):
        each = ("", "")
        if before is not None:
            more = cost.sources - before.sources
            each = (
                f"{1e3 * (cost.seconds - before.seconds) / more:.1f}",
                f"{(cost.peak_mb - before.peak_mb) / more:.2f}",
            )
        lines.append(
            f"| {cost.sources} | {cost.seconds:.2f} | {each[0]} | {cost.peak_mb:.0f} | {each[1]} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--categories", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=available_cpus())
    parser.add_argument("--bundle", type=Path, help="one that is there, in the place of a new one")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sgn-rt-") as place:
        folder = Path(place)
        if asked.bundle is None:
            bundle = many_categories(folder / "bundle", asked.categories)
        else:
            bundle = Bundle.open(asked.bundle)
        print(table(measure(bundle, folder, asked.threads, asked.repeats)))


if __name__ == "__main__":
    main()
