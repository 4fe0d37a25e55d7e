"""The reference: a page for each group of public names, made of their docstrings.

The pages exist in the site alone. `PUBLIC` is what this package promises to those who import it;
whatever else a module holds may change. The page python.md says the same in words.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File


def _errors() -> list[str]:
    """Every error and warning: the module holds nothing else."""
    text = (Path(__file__).parents[2] / "sgn_rt/errors.py").read_text(encoding="utf-8")
    return re.findall(r"^class (\w+)", text, re.MULTILINE)


PUBLIC = {
    "Separating": (
        "sgn_rt.Separator",
        "sgn_rt.streaming.choices.RecordingOptions",
        "sgn_rt.Separation",
        "sgn_rt.SeparationFiles",
        "sgn_rt.report.Report",
        "sgn_rt.report.Timings",
        "sgn_rt.streaming.presence.PresenceRule",
        "sgn_rt.read_thresholds",
        "sgn_rt.audio.samples.as_samples",
    ),
    "Live streams": (
        "sgn_rt.Stream",
        "sgn_rt.streaming.hub.hub.Hub",
        "sgn_rt.streaming.hub.hub.HubOptions",
        "sgn_rt.streaming.hub.hub_stream.HubStream",
        "sgn_rt.streaming.hub.stats.HubStats",
        "sgn_rt.streaming.hub.stats.BatchDone",
        "sgn_rt.streaming.hub.overload.OverloadSpan",
        "sgn_rt.streaming.presence_events.PresenceEvent",
    ),
    "Models": (
        "sgn_rt.Bundle",
        "sgn_rt.model.bundle.Artifact",
        "sgn_rt.model.bundle.FileRecord",
        "sgn_rt.ModelConfig",
        "sgn_rt.model.sgn_config.SgnConfig",
        "sgn_rt.model.contract.Kind",
        "sgn_rt.model.contract.Precision",
        "sgn_rt.model.probe.Probe",
    ),
    "Engines": (
        "sgn_rt.engines.factory.open_engine",
        "sgn_rt.engines.base.Engine",
        "sgn_rt.engines.guarded.Rejection",
        "sgn_rt.RunOptions",
        "sgn_rt.tensorrt.run.session.Session",
    ),
    "Parity": (
        "sgn_rt.parity.subjects.subjects",
        "sgn_rt.parity.measure.measure",
        "sgn_rt.model.stages.Stage",
        "sgn_rt.model.stages.StageResult",
        "sgn_rt.model.stages.Limit",
        "sgn_rt.model.stages.limit_for",
    ),
    "Evaluating and looking into it": (
        "sgn_rt.evaluation.run.evaluate",
        "sgn_rt.evaluation.protocols.protocol_named",
        "sgn_rt.evaluation.protocols.base.Protocol",
        "sgn_rt.evaluation.protocols.base.Item",
        "sgn_rt.evaluation.protocols.base.Labels",
        "sgn_rt.evaluation.protocols.base.Score",
        "sgn_rt.evaluation.protocols.base.Dropped",
        "sgn_rt.evaluation.journal.Journal",
        "sgn_rt.explain.run.Request",
        "sgn_rt.explain.run.explain",
        "sgn_rt.explain.run.explain_to",
        "sgn_rt.explain.explanation.Explanation",
        "sgn_rt.explain.hearing.Hearing",
        "sgn_rt.portability.compare.compare",
        "sgn_rt.portability.compare.chosen",
        "sgn_rt.portability.compare.Answer",
    ),
    "Clients": (
        "sgn_rt.serving.client.Client",
        "sgn_rt.serving.client.ClientStream",
        "sgn_rt.serving.client.AsyncClient",
        "sgn_rt.serving.client.AsyncClientStream",
        "sgn_rt.serving.client.RemoteSeparation",
        "sgn_rt.serving.client.RemoteFiles",
        "sgn_rt.serving.triton.client.TritonClient",
    ),
    "Network in PyTorch": (
        "sgn_rt.reference.Reference",
        "sgn_rt.reference.Sgn",
        "sgn_rt.reference.Separation",
        "sgn_rt.reference.load",
        "sgn_rt.reference.load_content",
        "sgn_rt.reference.read_checkpoint",
        "sgn_rt.reference.save_checkpoint",
        "sgn_rt.reference.random_model",
    ),
    "Errors and warnings": tuple(f"sgn_rt.errors.{name}" for name in _errors()),
}
_SOURCE = '<details class="mkdocstrings-source"'
_NAME = re.compile(r"<code>(sgn_rt(?:\.\w+)+)</code>")


def page_of(group: str) -> str:
    """The page of a group, in the site."""
    return f"reference/{group.lower().replace(' ', '-')}.md"


def on_config(config: Any) -> Any:
    """Put the pages at the end of the menu."""
    config.nav.append({"Reference": [{group: page_of(group)} for group in PUBLIC]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Write the pages."""
    for group, names in PUBLIC.items():
        text = "\n\n".join([f"# {group}", *(f"::: {name}" for name in names)])
        files.append(File.generated(config, page_of(group), content=text))
    return files


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Names in full lead to what the reference says of them; the search leaves out sources."""
    html = html.replace(_SOURCE, f"{_SOURCE} data-search-exclude")
    return _NAME.sub(_linked, html)


def _linked(name: re.Match[str]) -> str:
    shown = name[1].replace(".", ".<wbr>")  # the only places where it may be broken
    return f'<autoref identifier="{name[1]}" optional><code>{shown}</code></autoref>'
