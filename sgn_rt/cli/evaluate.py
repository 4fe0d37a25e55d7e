"""``sgn-rt evaluate``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from sgn_rt import __version__
from sgn_rt.cli.common import console, threads_option
from sgn_rt.cli.evaluation_report import (
    ITEMS,
    PAGE,
    RESULT,
    THRESHOLDS,
    result_of,
    show,
    write,
)
from sgn_rt.cli.process import printable
from sgn_rt.cli.verbosity import is_quiet, verbosity_options
from sgn_rt.errors import ConfigError
from sgn_rt.evaluation.journal import Journal
from sgn_rt.evaluation.protocols import PROTOCOLS, protocol_named
from sgn_rt.evaluation.protocols.base import Labels
from sgn_rt.evaluation.run import Keep, evaluate
from sgn_rt.evaluation.scoring import Separated, Told
from sgn_rt.evaluation.worst import Worst
from sgn_rt.model.bundle import Bundle
from sgn_rt.pages.svg import require_matplotlib
from sgn_rt.separator import Separator


def _about(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    del parameter
    if wanted:
        for name, protocol in PROTOCOLS.items():
            click.echo(f"{name}\n    {protocol.about}")
        context.exit(0)


@click.command("evaluate")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path),
                metavar="[BUNDLE] DATA")  # fmt: skip
@click.option("--protocol", required=True, type=click.Choice(list(PROTOCOLS)), metavar="NAME",
              help=f"How: {', '.join(PROTOCOLS)}.")  # fmt: skip
@click.option("--protocols", is_flag=True, is_eager=True, expose_value=False, callback=_about,
              help="Tell what each protocol does, and exit.")  # fmt: skip
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=f"Gets {RESULT}, {ITEMS}, {PAGE} and {THRESHOLDS}; goes on where it was interrupted.",
)
@click.option("--engine", "engines", multiple=True, default=("auto",), show_default=True,
              metavar="NAME", help="As in `sgn-rt separate`; of several, told whether the "
              "difference is real.")  # fmt: skip
@click.option(
    "--labels",
    "labels_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON: label of the data -> category of the model, where names differ.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N items.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
              help="Processes that score.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Forget what an earlier run has found.")
@threads_option
@verbosity_options
def command(
    paths: Sequence[Path],
    protocol: str,
    output: Path,
    engines: tuple[str, ...],
    labels_path: Path | None,
    limit: int | None,
    jobs: int,
    fresh: bool,
    threads: int | None,
) -> int:
    """Evaluate a model on data, as a published protocol has it.

    BUNDLE is the model that ships if left out. Beside each engine stand two bounds on the same
    items: the mixture itself, and the ideal ratio mask on the model's STFT. Intervals are of 95 %,
    by the bootstrap over items.
    """
    if len(paths) > 2:
        raise ConfigError(
            f"evaluate: got {len(paths)} paths, expected a bundle and a folder of data. Name each "
            "protocol's data in a command of its own."
        )
    if len(set(engines)) < len(engines):
        raise ConfigError(f"--engine: got {', '.join(engines)}, expected each once. Name it once.")
    rules, data = protocol_named(protocol), paths[-1]
    require_matplotlib()
    bundle = Bundle.open(paths[0] if len(paths) == 2 else None)
    said = _labels(labels_path, bundle)
    with ExitStack() as stack:
        # An engine that was named is evaluated, or none: another's figures would not be its own.
        separators = {
            name: stack.enter_context(
                Separator.open(
                    bundle, name, "fallback" if name == "auto" else "raise", threads=threads
                )
            )
            for name in engines
        }
        facts = {
            "sgn-rt": __version__, "protocol": protocol, "model": bundle.identity,
            "engines": {name: each.engine.name for name, each in separators.items()},
            "data": str(data.resolve()), "labels": said,
        }  # fmt: skip
        journal = Journal(output, facts, fresh=fresh)
        worst = Worst(output, engines[0], rules.metrics[0], journal.items)
        with _progress(len(journal.items), worst) as keep:
            items = evaluate(
                separators,
                rules,
                data,
                Labels(bundle.config.categories, said),
                journal,
                limit=limit,
                jobs=jobs,
                keep=keep,
            )
        result = result_of(items, rules, bundle, separators)
    write(output, result, items, worst.of(items))
    show(result, rules)
    return 0


@contextmanager
def _progress(earlier: int, keep: Keep) -> Iterator[Keep]:
    """``keep``, which also tells, on a terminal, how far it has come."""
    if earlier and not is_quiet():
        click.echo(f"{earlier} items are known from an earlier run", err=True)
    if is_quiet() or not sys.stderr.isatty():
        yield keep
        return
    with console(err=True).status("items") as status:

        def told_of(separated: Separated, told: Told) -> None:
            keep(separated, told)
            status.update(f"the last item was {printable(told['name'])}")

        yield told_of


def _said(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(said, dict) or not all(isinstance(v, str) for v in said.values()):
            raise ValueError("no object of texts")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: got {error}, expected a JSON object: label of the data -> category of the "
            "model. Correct it."
        ) from error
    return said


def _labels(path: Path | None, bundle: Bundle) -> dict[str, str]:
    said = _said(path)
    unknown = sorted(set(said.values()) - set(bundle.config.categories))
    if unknown:
        raise ConfigError(
            f"{path}: got {', '.join(unknown)}, expected categories of the model: "
            f"{', '.join(bundle.config.categories)}. Correct it."
        )
    return said
