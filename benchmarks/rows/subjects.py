"""What is timed: the bundle's engines and their competitors, opened and proved beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sgn_rt.benchmarks.result import Network, Row
from sgn_rt.benchmarks.rows.competitors import COMPETITORS
from sgn_rt.benchmarks.rows.opening import Opening
from sgn_rt.engines.base import Engine
from sgn_rt.engines.factory import ENGINES, PROVIDERS, open_engine, open_on, runs_on_gpu
from sgn_rt.engines.onnxruntime import PREFERENCE
from sgn_rt.engines.onnxruntime_session import CPU
from sgn_rt.engines.several import SeveralEngines
from sgn_rt.errors import DependencyError, SgnError, UnavailableError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import ENGINE_KINDS, FLOATS, SECOND_HALVES, Precision
from sgn_rt.model.stages import StageResult
from sgn_rt.parity.measure import measure
from sgn_rt.parity.service import Service
from sgn_rt.separator import Separator


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Something to time, or why it is not timed.

    Attributes
    ----------
    name
        As it stands in the table.
    engine
        Of what can be timed: opened, and within every limit of parity.
    parity
        Stages as measured; empty where it did not come to that.
    failure
        Why it has no time; None where it has one.
    absent
        Whether it is merely not available here, which is no failure of it.
    command
        Installs what is missing; None where nothing helps, or nothing is missing.
    network
        Which one it computes.
    detail
        What exactly was opened; None where nothing was.
    """

    name: str
    engine: Engine | None = None
    parity: tuple[StageResult, ...] = field(default=())
    failure: str | None = None
    absent: bool = False
    command: str | None = None
    network: Network = "published"
    detail: str | None = None

    @property
    def row(self) -> Row:
        """As it stands in a result."""
        return Row(
            name=self.name,
            kind="competitor" if self.name in COMPETITORS else "engine",
            network=self.network,
            precision=_precision(self.name, self.engine),
            detail=self.detail,
            accuracy={str(result.stage): result.to_dict() for result in self.parity},
            failure=self.failure,
            absent=self.absent,
            command=self.command,
        )


def _precision(name: str, engine: Engine | None) -> str:
    if name in COMPETITORS:
        return COMPETITORS[name].precision
    if engine is not None:
        return str(engine.precision)
    named = name.rpartition(".")[2]
    return named if named in tuple(Precision) else str(Precision.FP32)


def open_subject(
    name: str,
    bundle: Bundle,
    threads: int,
    folder: Path,
    devices: Sequence[int] | None = None,
) -> Engine:
    """Open what a name stands for.

    Parameters
    ----------
    name
        One of `COMPETITORS`, or an engine as `open_engine` takes it. ``torch`` is the former: all
        sources of a window in one pass.
    bundle
        The model.
    threads
        Processors to use; PyTorch's own number of threads is set to it, for the whole process.
    folder
        Graphs that competitors read are written there, or found.
    devices
        Numbers of the GPUs that a GPU's engine runs on, a competitor's on the first; None for the
        one in use.

    Raises
    ------
    DependencyError, UnavailableError
        If it cannot be had here.
    SgnError
        If it does not start, or there is no such row.
    """
    if name in COMPETITORS:
        competitor = COMPETITORS[name]
        device = f"cuda:{devices[0] if devices else 0}" if competitor.on_gpu else "cpu"
        opening = Opening(name=name, bundle=bundle, threads=threads, folder=folder, device=device)
        return competitor.open(opening)
    if devices is None or not runs_on_gpu(name):
        return open_engine(name, bundle, threads)
    return open_on(name, bundle, threads, devices, replaces=False)


def prove(name: str, engine: Engine, bundle: Bundle, *, network: Network = "published") -> Subject:
    """A subject, with the engine only if every stage of parity is within its limit, else closed."""
    each = engine.engines.values() if isinstance(engine, SeveralEngines) else [engine]
    subject = Subject(name=name, network=network, detail=engine.detail)
    for one in each:
        try:
            results = tuple(measure(one, bundle.probe))
        except SgnError as error:
            engine.close()
            return replace(subject, failure=str(error))
        subject = replace(subject, parity=results)
        for result in results:
            if not result.passed:
                engine.close()
                return replace(subject, failure=f"parity: {result}")
    return replace(subject, engine=engine)


def gather(
    names: Sequence[str],
    bundle: Bundle,
    threads: int,
    folder: Path,
    *,
    devices: Sequence[int] | None = None,
    network: Network = "published",
) -> list[Subject]:
    """Open and prove what is asked for.

    Parameters
    ----------
    names
        As `open_subject`; none for every engine on every graph of the bundle that it runs, and all
        competitors.
    bundle, threads, folder, devices
        As `open_subject`.
    network
        Which one the bundle holds.

    Returns
    -------
    list
        In the order of the table: as named, or engines before competitors.
    """
    if names:
        wanted = [[name] for name in dict.fromkeys(names)]
    else:
        engines = [name for name in ENGINES if name not in COMPETITORS]
        wanted = [[f"{name}:{graph}" for graph in _graphs(name, bundle)] or [name]
                  for name in engines] + [[name] for name in COMPETITORS]  # fmt: skip
    subjects: list[Subject] = []
    for group in wanted:
        found = [_gathered(name, bundle, threads, folder, devices, network) for name in group]
        if len(found) > 1 and all(subject.absent for subject in found):
            # What is missing for one graph is so for the others.
            found = [replace(found[0], name=group[0].partition(":")[0])]
        subjects += found
    return subjects


def _graphs(engine: str, bundle: Bundle) -> list[str]:
    """Names of the graphs that an engine runs, in the bundle's order."""
    if engine in PROVIDERS:
        provider = PROVIDERS[engine]
        kinds = {kind for kind, _ in PREFERENCE[provider]}
        precisions: Sequence[Precision] = tuple(Precision) if provider == CPU else FLOATS
    else:
        kinds, precisions = set(ENGINE_KINDS), tuple(Precision)
    return [
        artifact.name
        for artifact in bundle.artifacts
        if artifact.kind in kinds - SECOND_HALVES and artifact.precision in precisions
    ]


def _gathered(
    name: str,
    bundle: Bundle,
    threads: int,
    folder: Path,
    devices: Sequence[int] | None,
    network: Network,
) -> Subject:
    try:
        engine = open_subject(name, bundle, threads, folder, devices)
    except SgnError as error:
        known = name in COMPETITORS or name.partition(":")[0] in ENGINES
        absent = not known or isinstance(error, DependencyError | UnavailableError)
        return Subject(
            name=name, network=network, failure=str(error), absent=absent, command=error.command
        )
    return prove(name, engine, bundle, network=network)


def separator(engine: Engine, bundle: Bundle, threads: int) -> Separator:
    """A separator on an engine that is open and proved; it has no other to fall back on."""
    service = Service(bundle, engine.name, "off", threads, None, opened=engine)
    return Separator(bundle, service, threads=threads)
