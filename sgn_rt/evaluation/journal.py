"""What is known of each item, on the disk: an evaluation goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sgn_rt._atomic import write_whole
from sgn_rt.audio.writer import writing
from sgn_rt.errors import AudioError, ConfigError

NAME: Final = "items.jsonl"
_VERSION: Final = 1


class Journal:
    """Lines of JSON: what the results are of, then one for each item.

    A line that a killed process left half is dropped, and its item is done again.

    Parameters
    ----------
    folder
        Made if missing.
    facts
        All that results depend on: model, engine, protocol, data, options.
    fresh
        Forget what is there.

    Attributes
    ----------
    items
        Name of an item -> all that is known of it.

    Raises
    ------
    ConfigError
        If what is there is of other facts.
    AudioError
        If it cannot be read or written.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], *, fresh: bool = False) -> None:
        self._path = folder / NAME
        head = {"version": _VERSION, "facts": dict(facts), "digest": _digest(facts)}
        self.items: dict[str, dict[str, Any]] = {}
        text = "" if fresh else self._text()
        if text:
            first, *lines = self._parsed(text) or [{}]
            self._expect_same(first, head)
            self.items = {line["name"]: line for line in lines}
        whole = [head, *self.items.values()]
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            text = "".join(json.dumps(line) + "\n" for line in whole)
            write_whole(self._path, text.encode())

    def _text(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise AudioError(
                f"{self._path}: got {error.strerror}, expected to read what is known. Name another "
                "folder."
            ) from error

    def _parsed(self, text: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for line in text.splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                break
            if not isinstance(value, dict) or ("name" if found else "digest") not in value:
                break
            found.append(value)
        return found

    def _expect_same(self, found: Mapping[str, Any], head: Mapping[str, Any]) -> None:
        if found.get("digest") == head["digest"]:
            return
        if "facts" not in found:
            raise ConfigError(
                f"{self._path}: got a file that is no journal of an evaluation, expected none, or "
                "one. Name another folder, or begin anew with --fresh."
            )
        old, new = found["facts"], head["facts"]
        other = [key for key in new if old.get(key) != new[key]]
        told = "; ".join(f"{key} {old.get(key)!r:.60}, not {new[key]!r:.60}" for key in other)
        raise ConfigError(
            f"{self._path}: got results of another run ({told}), expected those of this one. Name "
            "another folder, or begin anew with --fresh."
        )

    def add(self, item: Mapping[str, Any]) -> None:
        """Keep what is known of an item."""
        self.items[item["name"]] = dict(item)
        with writing(self._path.parent), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(item) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
