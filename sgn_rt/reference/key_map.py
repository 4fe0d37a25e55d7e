r"""Key maps: how the tensors of other training code become those of this package.

A key map is a TOML file:

.. code-block:: toml

    format = "sgn-key-map/1"
    state_dict = "model.weights"          # .pt files only: where the tensors lie in nested dicts

    drop = ['optimizer\..*', '.*\.num_batches_tracked']    # tensors that are not wanted

    [[rename]]                            # whole names; the first rule that matches is taken
    pattern = 'net\.down(\d)\.(weight|bias)'
    replace = 'encoder.\1.conv.\2'

    [config]                              # the sgn_config, where the checkpoint brings none
    format = "sgn-checkpoint/1"
    sample_rate = 11025
    # ... every key of the configuration

Patterns are Python regular expressions. A name that no rule matches stays as it is.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sgn_rt.errors import CheckpointError, ConfigError
from sgn_rt.model.sgn_config import SgnConfig

KEY_MAP_FORMAT: Final = "sgn-key-map/1"
_KEYS: Final = {"format", "state_dict", "drop", "rename", "config"}


def _wrong(what: str, got: object, expected: str, action: str) -> CheckpointError:
    return CheckpointError(f"key map, {what}: got {got!r}, expected {expected}. {action}")


def _compile(what: str, pattern: object) -> re.Pattern[str]:
    if not isinstance(pattern, str):
        raise _wrong(what, pattern, "a regular expression", "Write it as a TOML text.")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise _wrong(what, pattern, f"a regular expression ({error})", "Correct it.") from error


@dataclass(frozen=True, slots=True)
class Rename:
    """One rule: names that ``pattern`` matches as a whole become ``replace``."""

    pattern: re.Pattern[str]
    replace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMap:
    """A checked key map (the file's format is told at the top of this module).

    Attributes
    ----------
    renames
        Rules, in order.
    drops
        Patterns of names to leave out; they come before the rules.
    state_dict
        Keys that lead to the tensors in the nested dicts of a ``.pt`` file.
    config
        The model's configuration, if the map gives one.
    """

    renames: tuple[Rename, ...] = ()
    drops: tuple[re.Pattern[str], ...] = ()
    state_dict: tuple[str, ...] = ()
    config: SgnConfig | None = None

    def apply(self, names: Iterable[str]) -> dict[str, str]:
        """New name of each of ``names``; dropped ones are left out.

        Raises
        ------
        CheckpointError
            If two tensors get one name, or a rule or a drop matches nothing (a map for other
            training code, most likely).
        """
        new_names: dict[str, str] = {}
        used: set[re.Pattern[str]] = set()
        for name in names:
            drop = next((p for p in self.drops if p.fullmatch(name)), None)
            if drop is not None:
                used.add(drop)
                continue
            new_names[name] = name
            for rule in self.renames:
                match = rule.pattern.fullmatch(name)
                if match is not None:
                    used.add(rule.pattern)
                    new_names[name] = match.expand(rule.replace)
                    break
        patterns = [*self.drops, *(rule.pattern for rule in self.renames)]
        idle = [pattern.pattern for pattern in patterns if pattern not in used]
        if idle:
            raise _wrong("rules", idle, "every one to match a tensor of the checkpoint",
                         "Correct or remove them.")  # fmt: skip
        sources: dict[str, list[str]] = {}
        for name, new_name in new_names.items():
            sources.setdefault(new_name, []).append(name)
        clashes = {new: old for new, old in sources.items() if len(old) > 1}
        if clashes:
            raise _wrong("renamed tensors", clashes, "one tensor for each name",
                         "Make the rules tell them apart, or drop one.")  # fmt: skip
        return new_names


def _rename(position: int, rule: Any) -> Rename:
    what = f"rename rule {position}"
    if not isinstance(rule, dict) or set(rule) != {"pattern", "replace"}:
        raise _wrong(what, rule, "exactly pattern and replace", "Correct the rule.")
    pattern, replace = _compile(what, rule["pattern"]), rule["replace"]
    if not isinstance(replace, str):
        raise _wrong(what, replace, "a text as replace", "Correct the rule.")
    try:
        # An unmatched group expands to nothing, so any name of a group that exists is accepted.
        re.compile(pattern.pattern + "|").match("").expand(replace)  # type: ignore[union-attr]
    except (re.error, IndexError) as error:
        raise _wrong(what, replace, f"groups that {pattern.pattern!r} has ({error})",
                     "Correct the rule.") from error  # fmt: skip
    return Rename(pattern, replace)


def read_key_map(path: Path) -> KeyMap:
    """Read and check a key map.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is no TOML, or breaks the declared format.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"key map {path}: got {error}, expected a TOML file. Correct the file or its path."
        ) from error
    if values.get("format") != KEY_MAP_FORMAT:
        raise _wrong("format", values.get("format"), repr(KEY_MAP_FORMAT), "State the format.")
    unknown = sorted(set(values) - _KEYS)
    if unknown:
        raise _wrong("keys", unknown, f"only {sorted(_KEYS)}", "Remove or correct them.")
    state_dict = values.get("state_dict", "")
    if not isinstance(state_dict, str):
        raise _wrong("state_dict", state_dict, "keys joined by dots", "Write it as one text.")
    rules, drops = values.get("rename", []), values.get("drop", [])
    if not isinstance(rules, list) or not isinstance(drops, list):
        raise _wrong("rename and drop", [rules, drops], "lists", "Write [[rename]] and drop = [].")
    config = None
    if "config" in values:
        try:
            config = SgnConfig.from_dict(values["config"])
        except (ConfigError, TypeError, ValueError) as error:
            raise CheckpointError(f"key map {path}, config: {error}") from error
    return KeyMap(
        renames=tuple(_rename(position, rule) for position, rule in enumerate(rules, start=1)),
        drops=tuple(_compile(f"drop {position}", p) for position, p in enumerate(drops, start=1)),
        state_dict=tuple(state_dict.split(".")) if state_dict else (),
        config=config,
    )
