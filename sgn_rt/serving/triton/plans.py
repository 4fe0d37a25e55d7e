"""TensorRT engines of a bundle as models of Triton's TensorRT backend."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sgn_rt.errors import ConfigError, EngineError, PluginError
from sgn_rt.model.bundle import Artifact
from sgn_rt.model.contract import SECOND_HALVES, Kind, Tensor, partner
from sgn_rt.model.shapes import partner_of
from sgn_rt.serving.triton import configs
from sgn_rt.serving.triton.configs import Config
from sgn_rt.serving.triton.model_folders import ModelFolders
from sgn_rt.tensorrt.bindings import Flavor
from sgn_rt.tensorrt.engine_files import halves_of, read_engine, read_sidecars
from sgn_rt.tensorrt.plugins.library import has_plugins
from sgn_rt.tensorrt.sidecar import Sidecar

PLUGINS_FOLDER: Final = "plugins"
REGISTERING_LIBRARY: Final = "libsgn_rt_plugins_register.so"


def write_plans(made: ModelFolders, plugins: Path | None) -> str | None:
    """Write a model for each graph that has engines, with a plan for each GPU; and their pairs.

    Engines of TensorRT for RTX are left out: Triton does not run them.

    Returns
    -------
    str or None
        The plugin library, relative to the repository; None where no engine needs it.

    Raises
    ------
    EngineError
        For an engine that is not whole, or engines of one graph that do not go together.
    PluginError
        If a library is needed and none given, or it is no file.
    """
    engines = _by_graph(made)
    written: dict[str, Config] = {}
    for name, sidecars in engines.items():
        artifact = _artifact(made, name)
        made_of = configs.model_name(artifact.kind, artifact.precision, "plan")
        plans = {_file(sidecar): read_engine(made.bundle, sidecar) for sidecar in sidecars}
        named = {_capability(gpu): _file(sidecar) for sidecar in sidecars for gpu in sidecar.gpus}
        config = configs.plan_config(
            made_of, named, made.graph(artifact), sidecars[0], made.serving
        )
        if artifact.kind in SECOND_HALVES:
            config = configs.as_shared(config, _given_basis(made, engines, artifact))
        made.add(config, plans)
        written[name] = config
    for name in written:
        _add_pair(made, name, written)
    if not any(has_plugins(_artifact(made, name).kind) for name in written):
        return None
    return _copy_library(made, plugins)


def _by_graph(made: ModelFolders) -> dict[str, list[Sidecar]]:
    """Engines of TensorRT by their graph's name; none that could not run."""
    found: defaultdict[str, list[Sidecar]] = defaultdict(list)
    for sidecar in read_sidecars(made.bundle):
        if sidecar.flavor == Flavor.TENSORRT and not sidecar.is_outdated:
            halves_of(made.bundle, sidecar)  # no network without its synthesis
            found[sidecar.artifact].append(sidecar)
    for name, sidecars in found.items():
        _expect_alike(name, sidecars)
    return dict(found)


def _expect_alike(name: str, sidecars: Sequence[Sidecar]) -> None:
    """One model has one configuration, and one Triton one TensorRT."""
    first = sidecars[0]
    for other in sidecars[1:]:
        if (other.version, other.profiles) != (first.version, first.profiles):
            raise EngineError(
                f"engines of {name}: got {other.name} of another TensorRT or other profiles than "
                f"{first.name}, expected engines that go together. Run `{first.build_command}` "
                "on each GPU, with one TensorRT and the same options."
            )
    if sum(sidecar.hardware_compatible for sidecar in sidecars) > 1:
        raise EngineError(
            f"engines of {name}: got several for any GPU, expected one. Delete all but one of them."
        )


def _artifact(made: ModelFolders, name: str) -> Artifact:
    return next(artifact for artifact in made.bundle.artifacts if artifact.name == name)


def _file(sidecar: Sidecar) -> str:
    """Of an engine: the one for any GPU is what Triton takes where none is named."""
    if sidecar.hardware_compatible:
        return configs.PLAN_OF_ANY_GPU
    return f"model_{'_'.join(sidecar.gpus)}.plan"


def _capability(gpu: str) -> str:
    """As Triton writes it: 8.9 of sm89, 12.0 of sm120."""
    number = int(gpu.removeprefix("sm"))
    return f"{number // 10}.{number % 10}"


def _given_basis(
    made: ModelFolders, engines: dict[str, list[Sidecar]], synthesis: Artifact
) -> tuple[int, ...]:
    """Shape in which the network gives what the synthesis takes."""
    for name in engines:
        network = _artifact(made, name)
        if partner(network.kind, network.precision) == (synthesis.kind, synthesis.precision):
            _, outputs = made.graph(network)
            return next(each.shape for each in outputs if each.name == Tensor.BASIS)
    raise ConfigError(
        f"engine of {synthesis.name}: got no engine of its network, expected one. "
        "Delete it, or build the pair again."
    )


def _add_pair(made: ModelFolders, name: str, written: dict[str, Config]) -> None:
    """An ensemble for a network and its synthesis."""
    network = _artifact(made, name)
    second = partner_of(made.bundle.config, network.kind, network.precision)
    if second is None or network.kind != Kind.PLUGIN:
        return
    other = ".".join(second)
    artifacts = (network, _artifact(made, other))
    pair = configs.pair_config(
        configs.model_name(Kind.WAVEFORM, network.precision, "pair"),
        written[name]["name"],
        written[other]["name"],
        [made.graph(artifact) for artifact in artifacts],
    )
    made.add(pair, {})


def _copy_library(made: ModelFolders, plugins: Path | None) -> str:
    if plugins is None or not plugins.is_file():
        found = "none" if plugins is None else f"no file {plugins}"
        raise PluginError(
            f"plugin library: got {found}, expected {REGISTERING_LIBRARY}, as the engines have "
            "plugins. Build it against Triton's libnvinfer (sgn_rt/tensorrt/plugins/README.md) "
            "and name it with --plugin-library, or choose models without tensorrt."
        )
    folder = made.root / PLUGINS_FOLDER
    folder.mkdir()
    shutil.copyfile(plugins, folder / REGISTERING_LIBRARY)
    return f"{PLUGINS_FOLDER}/{REGISTERING_LIBRARY}"
