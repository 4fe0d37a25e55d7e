"""A comparison in words and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sgn_rt.benchmarks.report.comparison import Comparison, Pair, Verdict, figure_name
from sgn_rt.benchmarks.report.quantities import spread, unit_for
from sgn_rt.pages.parts import Section, Table

WORDS: Final[dict[Verdict, str]] = {
    "WORSE": "WORSE beyond the limit",
    "worse": "worse",
    "same": "no difference",
    "better": "better",
    "unsure": "no interval",
}
_ORDER: Final[list[Verdict]] = ["WORSE", "worse", "better", "unsure", "same"]


def comparison_section(compared: Comparison) -> Section:
    """A comparison as tables, the worst first."""
    tables = [
        Table(title, ("what",), tuple((line,) for line in lines))
        for title, lines in (
            ("Nothing can be judged: the figures are of something else", compared.others),
            ("LOST: had a figure, and failed now", compared.lost),
        )
        if lines
    ]
    for title, pairs in (
        ("Ratios: more than 1 is better than before", compared.pairs),
        ("Against other rows of the same run: more than 1 is better", compared.ratios),
    ):
        if pairs:
            rows = tuple(_rows(pairs, judged=not compared.others))
            tables.append(Table(title, ("figure", "before", "now", "ratio", ""), rows))
    tables += [
        Table(title, ("what",), tuple((line,) for line in lines))
        for title, lines in (
            ("Not compared", compared.missing),
            ("What else has changed", compared.changes),
        )
        if lines
    ]
    return Section("comparison", "Against the earlier run", verdict(compared), tuple(tables))


def _rows(pairs: Sequence[Pair], *, judged: bool) -> Iterator[tuple[str, ...]]:
    for pair in sorted(pairs, key=lambda each: (_ORDER.index(each.verdict), each.ratio)):
        unit = unit_for(pair.old.unit, (pair.old.value, pair.new.value))
        yield (
            f"{figure_name(pair.new)} ({unit.name})",
            unit.spread(pair.old.value, pair.old.interval),
            unit.spread(pair.new.value, pair.new.interval),
            spread(pair.ratio, pair.interval),
            WORDS[pair.verdict] if judged else "not judged",
        )


def verdict(compared: Comparison) -> str:
    """The outcome in a sentence."""
    if compared.others:
        return f"NOT JUDGED: {'; '.join(compared.others)}."
    if compared.exit_code == 2:
        return "NOT JUDGED: the runs have no figure in common that has an interval in both."
    count = {word: sum(p.verdict == word for p in compared.pairs) for word in WORDS}
    limit = f"{100 * compared.limit:g}"
    said = [
        f"{count['WORSE']} of {len(compared.pairs)} figures are worse by more than {limit} %",
        f"{count['worse']} worse within that",
        f"{count['better']} better",
        f"{count['same']} without a difference that is more than chance",
    ]
    if count["unsure"]:
        said.append(f"{count['unsure']} without an interval, which nobody can judge")
    sure = [pair for pair in compared.ratios if pair.verdict != "unsure"]
    if sure:
        said.append(
            f"and of {len(sure)} ratios to another row of the same run, which no drift of the "
            f"machine is in, {sum(p.verdict == 'same' for p in sure)} without such a difference"
        )
    if compared.lost:
        said.append(f"{len(compared.lost)} LOST")
    return ", ".join(said) + "."
