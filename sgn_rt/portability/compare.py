"""Every graph of a bundle in every consumer, compared with the reference, stage by stage."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sgn_rt.engines.base import first_line
from sgn_rt.engines.onnxruntime import on_graphs
from sgn_rt.engines.onnxruntime_session import Runs
from sgn_rt.errors import BundleError, ConfigError, DependencyError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import SECOND_HALVES, Kind, partner
from sgn_rt.model.export_command import export_command
from sgn_rt.model.graph_file import expect_described, expect_inside, operators_of
from sgn_rt.model.stages import Stage, StageResult
from sgn_rt.parity.measure import measure
from sgn_rt.portability.consumer import Consumer, GraphFile
from sgn_rt.portability.packages import OnnxReference, OnnxRuntime, OpenVino, Tract
from sgn_rt.portability.web import OnnxRuntimeWeb

CONSUMERS: Final[tuple[type[Consumer], ...]] = (
    *(OnnxRuntime, OnnxReference, OpenVino, Tract, OnnxRuntimeWeb),
)
"""Whatever reads ONNX and can be installed by a package manager."""
_MOST_SAID: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a consumer makes of a graph.

    Attributes
    ----------
    consumer, version
        Which one; no version where it is missing.
    graph
        Name of the network's graph, e.g. ``core.fp32``; that of a pair stands for both.
    results
        Stages that were measured, on ``windows`` windows of the bundle's probes.
    seconds
        For one window with its sources, after the first.
    refused, operator
        What the consumer said, and the operator that it names; where it does not take the graph.
    missing
        The command that installs it, where it is not here.
    """

    consumer: str
    graph: str
    version: str | None = None
    results: tuple[StageResult, ...] = ()
    windows: int = 0
    seconds: float | None = None
    refused: str | None = None
    operator: str | None = None
    missing: str | None = None

    @property
    def departed(self) -> StageResult | None:
        """The first stage beyond its limit."""
        return next((result for result in self.results if not result.passed), None)

    def figure(self, stage: Stage) -> float | None:
        """Of a stage, if it was measured."""
        return next((result.figure for result in self.results if result.stage == stage), None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "consumer": self.consumer,
            "version": self.version,
            "graph": self.graph,
            "windows": self.windows,
            "seconds_a_window": None if self.seconds is None else round(self.seconds, 3),
            "stages": {str(result.stage): result.to_dict() for result in self.results},
            "refused": self.refused,
            "operator": self.operator,
            "missing": self.missing,
        }


def chosen(names: Sequence[str]) -> list[Consumer]:
    """Consumers by their names; all of them where none is named.

    Raises
    ------
    ConfigError
        For one that there is not.
    """
    known = {consumer.name: consumer for consumer in CONSUMERS}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"consumer: got {name!r:.40}, expected one of {', '.join(known)}. "
                "Choose from these."
            )
    return [known[name]() for name in (dict.fromkeys(names) if names else known)]


def compare(bundle: Bundle, consumers: Sequence[Consumer]) -> Iterator[Answer]:
    """Each graph that is not the second half of a pair, in each consumer, as they are done.

    Parameters
    ----------
    bundle
        The model.
    consumers
        Closed when they are done.

    Raises
    ------
    BundleError
        If there is no graph, or one is not what the manifest says.
    """
    graphs = [artifact for artifact in bundle.artifacts if artifact.kind not in SECOND_HALVES]
    if not graphs:
        raise BundleError(
            f"{bundle.root}: got a bundle without a graph, expected one to compare. "
            f"Export it again: {export_command(bundle)}"
        )
    with TemporaryDirectory(prefix="sgn-rt-portability-") as folder:
        files = {
            artifact.name: _laid_out(bundle, artifact, folder) for artifact in bundle.artifacts
        }
        for consumer in consumers:
            with closing(consumer):
                for artifact in graphs:
                    yield _answer(bundle, consumer, artifact, files)


def _laid_out(bundle: Bundle, artifact: Artifact, folder: str) -> GraphFile:
    """A copy for consumers that read files: of what was verified, and no other file in reach."""
    content = bundle.read(artifact.path)
    expect_inside(content, artifact.external, artifact.path)
    expect_described(content, bundle, artifact, artifact.path)
    own = Path(folder) / artifact.name
    for name in (artifact.path, *artifact.external):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(bundle.read(name))
    return GraphFile(path=own / artifact.path, external=artifact.external, kind=artifact.kind)


def _answer(
    bundle: Bundle, consumer: Consumer, artifact: Artifact, files: dict[str, GraphFile]
) -> Answer:
    about: dict[str, Any] = {"consumer": consumer.name, "graph": artifact.name}
    try:
        about["version"] = consumer.version()
    except DependencyError as error:
        return Answer(**about, missing=error.command or str(error))
    opened: list[Runs] = []

    def open_graph(each: Artifact) -> Runs:
        opened.append(consumer.open(files[each.name]))
        return opened[-1]

    try:
        if artifact.kind == Kind.PLUGIN:
            # No consumer but TensorRT has what its nodes ask for; nothing here could run the pair.
            for each in _pair(bundle, artifact):
                open_graph(each)
            return Answer(**about, refused="opens, and is run by TensorRT alone")
        return Answer(**about, **_measured(bundle, consumer, artifact, open_graph))
    except Exception as error:  # of whatever library: it refuses, and the others are asked
        said = " ".join(str(error).split())
        graphs = [files[each.name].path.read_bytes() for each in _pair(bundle, artifact)]
        operator = named_operator(said, [name for graph in graphs for name in operators_of(graph)])
        short = said if len(said) <= _MOST_SAID else f"{said[:_MOST_SAID]} ..."
        return Answer(**about, refused=short or first_line(error), operator=operator)
    finally:
        for runs in opened:
            runs.close()


def _measured(
    bundle: Bundle,
    consumer: Consumer,
    artifact: Artifact,
    open_graph: Callable[[Artifact], Runs],
) -> dict[str, Any]:
    engine = on_graphs(bundle, artifact, open_graph)
    engine.name, engine.detail, engine.precision = consumer.name, "", artifact.precision
    engine.concurrency = 1
    probe = bundle.probe
    results = measure(engine, probe, quick=consumer.quick)
    seconds = None
    if not consumer.quick:  # by now everything is warm
        start = time.perf_counter()
        engine.separate(probe.mixture[:1], probe.categories[0])
        seconds = time.perf_counter() - start
    windows = 1 if consumer.quick else probe.windows
    return {"results": tuple(results), "windows": windows, "seconds": seconds}


def _pair(bundle: Bundle, artifact: Artifact) -> list[Artifact]:
    second = partner(artifact.kind, artifact.precision)
    other = None if second is None else bundle.find(*second)
    return [artifact] if other is None else [artifact, other]


def named_operator(said: str, operators: Sequence[str]) -> str | None:
    """The operator of a graph that a message names, as ``Type`` or ``domain::Type``.

    The last of those named: messages begin with where they come from. One of a domain of its own
    comes before those of ONNX.
    """
    places = []
    for operator in operators:
        domain, _, kind = operator.rpartition("::")
        found = [match.start() for match in re.finditer(rf"\b{re.escape(kind)}\b", said)]
        if found:
            places.append((bool(domain), found[-1], operator))
    return max(places)[2] if places else None
