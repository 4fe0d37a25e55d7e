"""One direction of imports, read from the imports themselves (docs: "Where does a thing live?")."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]

FLOORS: tuple[frozenset[str], ...] = tuple(
    frozenset(rooms.split())
    for rooms in (
        "errors _types _optional _process _private _processors _temporary _atomic _ranges",
        "model audio pages",
        "reference",
        "tensorrt streaming",
        "engines",
        "parity",
        "report separator",
        "serving",
        "checks benchmarks evaluation explain export portability",
        "cli",
    )
)
"""Rooms of the package, the ground floor first. A room may import what lies below it and itself;
rooms of one floor know nothing of each other, but for the ground's and the separator's."""
NEIGHBOURS = (FLOORS[0], frozenset({"report", "separator"}))
"""Floors whose rooms may import one another: files, not folders."""

EXPORT_OF_CHECKPOINTS = frozenset({"benchmarks"})
"""May import the exporter beside it: a plain export is one of the rows that it times."""


def _floor(room: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


def _sources() -> dict[str, Path]:
    """Every module of the package, by its dotted name without ``sgn_rt.``."""
    found: dict[str, Path] = {}
    for folder, prefix in ((TOP / "sgn_rt", ()), (TOP / "export", ("export",)),
                           (TOP / "benchmarks", ("benchmarks",))):  # fmt: skip
        for path in folder.rglob("*.py"):
            parts = (*prefix, *path.relative_to(folder).with_suffix("").parts)
            found[".".join(parts)] = path
    return found


def _imports(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports, anywhere in it, without ``sgn_rt.``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "sgn_rt":
            names = [f"sgn_rt.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
        else:
            continue
        yield from (name.removeprefix("sgn_rt.") for name in names if name.startswith("sgn_rt."))


SOURCES = _sources()


def test_every_room_has_a_floor():
    rooms = {name.partition(".")[0] for name in SOURCES} - {"__init__", "__main__"}
    assert rooms == frozenset.union(*FLOORS)


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {"__init__", "__main__"}))
def test_imports_go_down(module):
    room = module.partition(".")[0]
    for imported in _imports(SOURCES[module]):
        other = imported.partition(".")[0]
        if other in (room, "__version__"):
            continue
        if any({room, other} <= files for files in NEIGHBOURS):
            continue
        if room in EXPORT_OF_CHECKPOINTS and other == "export":
            continue
        assert _floor(other) < _floor(room), f"{module} imports {imported}"


def test_no_circle_between_modules():
    """Also within a room: whoever reads one file need not read all of them at once."""
    graph = {
        name: {i if i in SOURCES else f"{i}.__init__" for i in _imports(path)} & set(SOURCES)
        for name, path in SOURCES.items()
        if name != "__init__"
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name in done:
            return
        for other in graph.get(name, ()):
            visit(other, (*above, name))
        done.add(name)

    for name in graph:
        visit(name, ())
