"""``pytest --sgn-bundle FOLDER --sgn-engine NAME``: one test for each graph and stage.

It does nothing without one of the options, and loads nothing before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sgn_rt.model.bundle import Bundle
    from sgn_rt.model.stages import StageResult


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options."""
    group = parser.getgroup("sgn-rt", "parity of a model's engines (sgn-rt)")
    group.addoption(
        "--sgn-bundle", metavar="FOLDER",
        help="Compare this bundle's engines with the reference, a test for each graph and stage; "
        "with --sgn-engine alone the bundle that ships with sgn-rt.",
    )  # fmt: skip
    group.addoption(
        "--sgn-engine", action="append", default=[], metavar="NAME",
        help="Engine to compare, as in `sgn-rt parity`; may be repeated. Every graph of the bundle "
        "that runs here if left out.",
    )  # fmt: skip


@pytest.hookimpl(tryfirst=True)  # what selects tests selects among these, too
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the tests of parity behind all others."""
    folder, named = config.getoption("sgn_bundle"), config.getoption("sgn_engine")
    if folder is None and not named:
        return
    from sgn_rt.errors import SgnError
    from sgn_rt.model.bundle import Bundle
    from sgn_rt.parity.subjects import subjects

    try:
        bundle = Bundle.open(folder)
    except SgnError as error:
        raise pytest.UsageError(str(error)) from error
    specs, left_out = (list(dict.fromkeys(named)), {}) if named else subjects(bundle)
    if not specs and not left_out:
        raise pytest.UsageError(
            f"{bundle.root}: got a bundle without a graph, expected one to compare. "
            "Name an engine with --sgn-engine, or export the bundle again."
        )
    for spec in specs:
        group = EngineGroup.from_parent(
            session, name=spec, nodeid=f"sgn-rt::{spec}", bundle=bundle, spec=spec
        )
        items.extend(group.collect())
    for graph, reason in left_out.items():
        items.append(
            LeftOut.from_parent(session, name=graph, nodeid=f"sgn-rt::{graph}", reason=reason)
        )


class EngineGroup(pytest.Collector):
    """Tests of one engine, which is opened and measured with the first of them."""

    def __init__(self, *, bundle: Bundle, spec: str, **options: Any) -> None:
        super().__init__(**options)
        self._bundle, self._spec = bundle, spec
        self._measured: dict[str, StageResult] | Exception | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """A test for each stage."""
        from sgn_rt.model.stages import Stage

        for stage in Stage:
            yield StageItem.from_parent(self, name=str(stage))

    def measured(self) -> dict[str, StageResult]:
        """Stage -> figure; what keeps the engine from it is every test's error."""
        if self._measured is None:
            try:
                self._measured = self._measure()
            except Exception as error:
                self._measured = error
        if isinstance(self._measured, Exception):
            raise self._measured
        return self._measured

    def why_not(self, stage: str) -> str:
        """Why there is no figure of a stage."""
        from sgn_rt.model.stages import Stage
        from sgn_rt.parity.weights import shows_weights

        probe = self._bundle.probe
        if stage == Stage.QUALITY and not probe.stem_known.any():
            return f"{self.name}: {stage}: the probes have no true stems"
        if stage == Stage.SHARES and probe.shares is None:
            return f"{self.name}: {stage}: the probes are older than it"
        if stage == Stage.WEIGHTS and not shows_weights(self._bundle):
            return f"{self.name}: {stage}: the bundle has no checkpoint that says what they are"
        if stage == Stage.WEIGHTS:
            return f"{self.name}: {stage}: it runs no graph, but the checkpoint itself"
        if stage == Stage.ASSIGNMENT and probe.assignment is None:
            return f"{self.name}: {stage}: the bundle was exported without"
        return f"{self.name} does not show {stage} from outside"

    def _measure(self) -> dict[str, StageResult]:
        from sgn_rt.engines.factory import open_engine
        from sgn_rt.parity.weights import measure_with_weights

        engine = open_engine(self._spec, self._bundle)
        try:
            return {str(r.stage): r for r in measure_with_weights(engine, self._bundle)}
        finally:
            engine.close()


class StageItem(pytest.Item):
    """One stage of one engine."""

    parent: EngineGroup

    def runtest(self) -> None:
        """Fails with the figure and its limit; skipped where the engine does not show the stage."""
        result = self.parent.measured().get(self.name)
        if result is None:
            pytest.skip(self.parent.why_not(self.name))
        self.user_properties.append(("figure", f"{result.figure:.4g} {result.limit.unit}".strip()))
        if not result.passed:
            raise _BeyondLimitError(str(result))

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str | Any:
        """What is wrong in a line: where in sgn-rt it was found out helps nobody."""
        from sgn_rt.errors import SgnError

        if isinstance(excinfo.value, _BeyondLimitError | SgnError):
            return f"{self.parent.name}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where pytest says that it is from."""
        return self.path, None, f"{self.parent.name}::{self.name}"


class _BeyondLimitError(AssertionError):
    """A figure is beyond its limit."""


class LeftOut(pytest.Item):
    """A graph that nothing here runs."""

    def __init__(self, *, reason: str, **options: Any) -> None:
        super().__init__(**options)
        self._reason = reason

    def runtest(self) -> None:
        """Skipped, with the reason."""
        pytest.skip(self._reason)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where pytest says that it is from."""
        return self.path, None, self.name
