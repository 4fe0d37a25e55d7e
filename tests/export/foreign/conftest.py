"""Networks that are not ours, exported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("torch", exc_type=ImportError)

from sgn_rt.export.writer import export_module_bundle
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import Kind, Precision
from sgn_rt.model.stages import StageResult

HERE = Path(__file__).parent


class Exported(NamedTuple):
    """A network's bundle and what its export has measured."""

    bundle: Bundle
    measured: dict[str, list[StageResult]]


@pytest.fixture(autouse=True)
def _in_their_folder(monkeypatch) -> None:
    """As users are, who start `sgn-rt export` where their code lies."""
    monkeypatch.chdir(HERE)


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Iterator[Callable[[str], Path]]:
    """Checkpoint of random weights of a network, by its name."""
    folder = tmp_path_factory.mktemp("weights")

    def of(name: str) -> Path:
        path: Path = folder / f"{name}.pt"
        if not path.exists():
            sys.path.insert(0, str(HERE))
            try:
                importlib.import_module(f"foreign_networks.{name}").save_random(path)
            finally:
                sys.path.remove(str(HERE))
        return path

    return of


@pytest.fixture(scope="session")
def exported(weights, tmp_path_factory) -> Callable[[str], Exported]:
    """Bundle of a network, exported once.

    Each graph takes seconds: all of them, in both precisions, are on the page of the docs.
    """
    made: dict[str, Exported] = {}
    graphs: dict[str, tuple[list[Kind], list[Precision]]] = {
        "unet": ([Kind.CORE, Kind.WAVEFORM], [Precision.FP32]),
        "groupvit": ([Kind.CORE], [Precision.FP32, Precision.FP16]),
        "complex_masks": ([Kind.CORE, Kind.PLUGIN], [Precision.FP32]),
    }

    def of(name: str) -> Exported:
        if name not in made:
            folder = tmp_path_factory.mktemp("foreign") / name
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(HERE)
                measured = export_module_bundle(
                    f"foreign_networks.{name}:make", weights(name), folder,
                    kinds=graphs[name][0], precisions=graphs[name][1],
                )  # fmt: skip
            made[name] = Exported(Bundle.open(folder), measured)
        return made[name]

    return of
