"""What the generator has written of a run: its own files are what counts."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from sgn_rt.benchmarks.loadgen.scenario import Scenario
from sgn_rt.errors import EngineError

DETAIL: Final = "mlperf_log_detail.txt"
SUMMARY: Final = "mlperf_log_summary.txt"
ACCURACY: Final = "mlperf_log_accuracy.json"

_MARK: Final = ":::MLLOG "
_PERCENTILE: Final = re.compile(r"result_(\d+\.\d+)_percentile_(per_query_)?latency_ns")
_RATES: Final = {
    Scenario.OFFLINE: "result_samples_per_second",
    Scenario.SERVER: "result_completed_samples_per_sec",
}


class _Entry(NamedTuple):
    """One line of the detailed log."""

    key: str
    value: Any
    is_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run by the generator's own words.

    Attributes
    ----------
    valid
        Whether it is by the generator's rule.
    words
        What it says of a run that is not; empty of one that is.
    percentiles
        Of latency: ``p50``, ``p90``, ``p99``, seconds; of the whole query where it has several
        windows.
    rate
        Windows per second; None where the scenario has none.
    """

    valid: bool
    words: str
    percentiles: dict[str, float]
    rate: float | None


def read_outcome(folder: Path, scenario: Scenario) -> Outcome:
    """The outcome of a run from the files that the generator has left in a folder.

    Raises
    ------
    EngineError
        If they are not there, or not whole.
    """
    entries = _entries(folder / DETAIL)
    validity = _one(entries, "result_validity", folder).value
    if validity not in ("VALID", "INVALID"):
        raise _broken(folder, f"the result {validity!r:.40}", "VALID or INVALID")
    errors = [str(entry.value) for entry in entries if entry.is_error]
    per_query = scenario is Scenario.MULTI_STREAM
    percentiles: dict[str, float] = {}
    for entry in entries:
        named = _PERCENTILE.fullmatch(entry.key)
        if named and bool(named[2]) == per_query and float(named[1]) in (50, 90, 99):
            percentiles[f"p{float(named[1]):.0f}"] = 1e-9 * _number(entry, folder)
    if len(percentiles) != 3:
        raise _broken(folder, f"percentiles {sorted(percentiles)}", "p50, p90 and p99")
    rate = None
    if scenario in _RATES:
        rate = _number(_one(entries, _RATES[scenario], folder), folder)
    valid = validity == "VALID" and not errors
    words = "" if valid else _words(folder / SUMMARY, errors)
    return Outcome(valid=valid, words=words, percentiles=percentiles, rate=rate)


def _entries(path: Path) -> list[_Entry]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(path.parent, f"{error}", f"a readable {DETAIL}") from error
    return [_entry(line, path.parent) for line in lines if line.startswith(_MARK)]


def _entry(line: str, folder: Path) -> _Entry:
    try:
        told = json.loads(line.removeprefix(_MARK))
        return _Entry(str(told["key"]), told["value"], bool(told["metadata"]["is_error"]))
    except (ValueError, TypeError, LookupError) as error:
        expected = "JSON with key, value and metadata"
        raise _broken(folder, f"the line {line!r:.80}", expected) from error


def _one(entries: list[_Entry], key: str, folder: Path) -> _Entry:
    found = [entry for entry in entries if entry.key == key]
    if len(found) != 1:
        raise _broken(folder, f"{len(found)} entries {key}", "one: a run that came to its end")
    return found[0]


def _number(entry: _Entry, folder: Path) -> float:
    value = entry.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise _broken(folder, f"{entry.key} {value!r:.40}", "a number above 0")
    return float(value)


def _words(path: Path, errors: list[str]) -> str:
    """What the summary says after "Result is", but for what is satisfied."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(path.parent, f"{error}", f"a readable {SUMMARY}") from error
    _, _, after = text.partition("Result is : ")
    lines = after.partition("\n====")[0].splitlines()[1:]
    said = [line.strip(" *") for line in lines if line.strip()]
    kept = [line for line in said if not line.endswith((": Yes", ":"))]
    return "; ".join(kept + errors) or "no reason given"


def _broken(folder: Path, got: str, expected: str) -> EngineError:
    return EngineError(
        f"load generator: {folder}: got {got}, expected {expected}. Run it again; if it stays so, "
        "install another version of mlcommons-loadgen."
    )
