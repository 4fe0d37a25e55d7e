"""What a reader of the reference misses in a docstring, read by griffe from the sources.

A docstring may refer to another for what they share (``as `Stream.feed```, ``see `HubOptions```):
what it lacks is then looked for there.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import griffe

from sgn_rt import errors

UNITS = {
    "_s": r"\bseconds?\b|\bs\b",
    "_db": r"\bdB\b",
    "_dbfs": r"\bdB",
    "_bytes": r"\bbytes\b|\bMB\b",
    "_samples": r"\bsamples?\b|\bsample_rate\b",
    "sample_rate": r"\bHz\b|input|recording",
}
"""Names that end so are quantities: what is said of them has to hold the unit."""
_REFERENCE = re.compile(r"`([\w.]+)`(?:'s)?")
_ARRAYS = re.compile(r"\b(Float|NDArray|Positions|Tensor)\b")
_SHAPE = re.compile(r"\b[Ss]hapes?\b|\[[A-Z\w, +/()-]+\]|\([A-Z], ")
_OURS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}


class Reader:
    """The public objects, and what is said of each."""

    def __init__(self, names: Iterable[str]) -> None:
        loader = griffe.GriffeLoader(docstring_parser=griffe.Parser.numpy)
        loader.load("sgn_rt")
        self.names = tuple(names)
        self.objects = {name: _resolved(loader.modules_collection[name]) for name in self.names}
        self.by_tail: dict[str, Any] = {}
        for thing in self.everything():
            self.by_tail.setdefault(thing.name, thing)
            if thing.parent is not None:
                self.by_tail[f"{thing.parent.name}.{thing.name}"] = thing

    def everything(self) -> Iterator[Any]:
        """Public objects, and their public functions and properties."""
        for thing in self.objects.values():
            yield thing
            if thing.is_class:
                for member in thing.members.values():
                    is_value = member.is_attribute and "property" not in member.labels
                    if not member.name.startswith("_") and not member.is_alias and not is_value:
                        yield member

    def complaints(self) -> list[str]:
        """Everything that is missing."""
        return [f"{t.path}: {what}" for t in self.everything() for what in self.missing(t)]

    def missing(self, thing: Any) -> Iterator[str]:
        """What an object's docstring lacks."""
        if thing.docstring is None:
            yield "no docstring"
            return
        told = self.told(thing)
        if thing.is_class:
            yield from self._of_class(thing, told)
            return
        if thing.is_function:
            for parameter in thing.parameters:
                if parameter.name not in ("self", "cls") and not parameter.name.startswith("_"):
                    yield from _of_value(parameter.name, told)
        value = str(thing.returns if thing.is_function else thing.annotation)
        if _ARRAYS.search(value) and not _SHAPE.search(told):
            yield f"it gives {value}, and no shape"
        if thing.is_function:
            yield from _unsaid_errors(thing, told)

    def _of_class(self, thing: Any, told: str) -> Iterator[str]:
        fields = [m for m in thing.members.values() if m.is_attribute and m.annotation is not None]
        for member in fields:
            if member.name.startswith("_") or "property" in member.labels:
                continue
            yield from _of_value(member.name, member.docstring.value if member.docstring else told)
            if _ARRAYS.search(str(member.annotation)) and not _SHAPE.search(told):
                yield f"{member.name} is {member.annotation}, and has no shape"
        for name in ("__init__", "__post_init__"):
            if name in thing.members:
                yield from _unsaid_errors(thing.members[name], told)

    def told(self, thing: Any, depth: int = 2) -> str:
        """A docstring, with those that it refers to."""
        if thing.docstring is None:
            return ""
        text = str(thing.docstring.value)
        parts = [text]
        if depth:
            for name in _REFERENCE.findall(text):
                local = thing.parent.members.get(name) if thing.parent is not None else None
                if local is not None and local.is_alias:
                    local = None
                other = local or self.by_tail.get(".".join(name.split(".")[-2:]))
                other = other or self.by_tail.get(name.split(".")[-1])
                if other is not None and other is not thing and not other.is_alias:
                    parts.append(self.told(other, depth - 1))
        return "\n".join(parts)


def _resolved(thing: Any) -> Any:
    return thing.final_target if thing.is_alias else thing


def _of_value(name: str, told: str) -> Iterator[str]:
    """A parameter or attribute is spoken of, with its unit where it has one."""
    words = re.escape(name.lstrip("*"))
    if not re.search(rf"\b{words}\b", told, re.IGNORECASE):
        yield f"nothing of {name}"
        return
    for ending, unit in UNITS.items():
        if name.endswith(ending) and not re.search(unit, told):
            yield f"{name} without its unit"


def _unsaid_errors(function: Any, told: str) -> Iterator[str]:
    """Errors of this package that a function raises itself, and does not name."""
    source = textwrap.dedent("\n".join(function.lines))
    for node in ast.walk(ast.parse(source)):
        raised = node.exc if isinstance(node, ast.Raise) else None
        if not isinstance(raised, ast.Call) or not isinstance(raised.func, ast.Name):
            continue
        kind = _OURS.get(raised.func.id)
        if kind is not None and not any(base.__name__ in told for base in kind.__mro__[:-3]):
            yield f"it raises {kind.__name__}, and does not say so"
