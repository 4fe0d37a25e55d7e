"""``sgn-rt build``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sgn_rt.cli.common import (
    console,
    json_option,
    names_option,
    output_option,
    progress_bar,
    table,
    write_json,
)
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.errors import ConfigError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import ENGINE_KINDS, SECOND_HALVES, Kind, Precision

if TYPE_CHECKING:
    from sgn_rt.tensorrt.sidecar import Sidecar

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@click.command("build")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--flavor", type=click.Choice(["tensorrt", "tensorrt-rtx"]),
              help="What the engine is for; by what is installed if left out.")  # fmt: skip
@names_option("--gpu", "gpus", metavar="SM,SM",
              help="Compute capabilities, e.g. sm89,sm120, an engine for each; tensorrt-rtx alone, "
                   "also without a GPU. The GPU that is here if left out.")  # fmt: skip
@names_option("--precision", "precisions", members=Precision, default=[str(Precision.FP16)],
              show_default=True, metavar="P,Q",
              help="fp16, fp32, int8 or several of them, an engine for each.")  # fmt: skip
@click.option("--kind", type=click.Choice([str(kind) for kind in ENGINE_KINDS]),
              help="Graph to build from; the best in the bundle if left out.")  # fmt: skip
@click.option("--max-batch", type=click.IntRange(min=1), default=8, show_default=True,
              help="Windows that it takes at a time.")  # fmt: skip
@click.option("--max-sources", type=click.IntRange(min=1),
              help="Categories at a time; all if left out.")  # fmt: skip
@output_option("--timing-cache",
               help="Timings of earlier builds; read, and added to. tensorrt alone.")  # fmt: skip
@click.option("--hardware-compatible", is_flag=True,
              help="Also for other GPUs from sm80 on, slower. tensorrt alone.")  # fmt: skip
@click.option("--version-compatible", is_flag=True,
              help="Also for later versions. tensorrt alone.")  # fmt: skip
@click.option("--workspace", metavar="SIZE",
              help="Scratch memory of a kernel, e.g. 512M; no limit if left out.")  # fmt: skip
@click.option("--optimization-level", type=click.IntRange(0, 5),
              help="How long to search for faster kernels; TensorRT's own, 3, if left out. Higher "
                   "levels take many times as long.")  # fmt: skip
@click.option("--aux-streams", type=click.IntRange(0, 16),
              help="Parts of the network at once, at most, beside the first; each costs activation "
                   "memory. As TensorRT sees fit if left out.")  # fmt: skip
@click.option("--rebuild", is_flag=True,
              help="Build again, as they were, the engines in the bundle that do not fit this "
                   "machine; other options are not looked at.")  # fmt: skip
@click.option("--device", type=click.IntRange(min=0), metavar="N",
              help="Number of the GPU to build on; the one in use if left out.")  # fmt: skip
@click.option("--trust", is_flag=True,
              help="Build nothing: let the engines that are in the bundle run here, if you trust "
                   "where they come from. An engine is a program.")  # fmt: skip
@json_option
@verbosity_options
def command(
    bundle: Path,
    flavor: str | None,
    gpus: list[str] | None,
    precisions: list[Precision],
    kind: str | None,
    max_batch: int,
    max_sources: int | None,
    timing_cache: Path | None,
    hardware_compatible: bool,
    version_compatible: bool,
    workspace: str | None,
    optimization_level: int | None,
    aux_streams: int | None,
    rebuild: bool,
    device: int | None,
    trust: bool,
    json_path: Path | None,
) -> None:
    """Build TensorRT engines of a bundle's graphs, into the bundle.

    With a GPU here that an engine is for, it has to pass parity before it is recorded; without one
    it is recorded as unproved, and proved when it is first used.
    """
    # Longer than a page for its options, all of them of one call.
    from sgn_rt.parity.built_engine import prove_content
    from sgn_rt.tensorrt.bindings import Flavor, installed_flavor, load
    from sgn_rt.tensorrt.build.build_engines import BuildRequest, build_into
    from sgn_rt.tensorrt.build.options import BuildOptions
    from sgn_rt.tensorrt.build.rebuild import rebuild_requests
    from sgn_rt.tensorrt.device.factory import look_for_device, open_device
    from sgn_rt.tensorrt.trust import trust_all

    request = BuildRequest(
        kind=None if kind is None else Kind(kind),
        precisions=precisions,
        gpus=[gpu.lower() for gpu in gpus or []],
        options=BuildOptions(
            gpus=(),
            max_batch=max_batch,
            max_sources=max_sources,
            timing_cache=timing_cache,
            hardware_compatible=hardware_compatible,
            version_compatible=version_compatible,
            workspace_bytes=_bytes(workspace),
            optimization_level=optimization_level,
            aux_streams=aux_streams,
        ),
    )
    opened = Bundle.open(bundle)
    if trust:
        names = [f"{each.name}: runs here from now on" for each in trust_all(opened)]
        click.echo("\n".join(names) or "no engine in the bundle: nothing to trust")
        return
    trt = load(installed_flavor() if flavor is None else Flavor(flavor))
    found = look_for_device() if device is None else open_device(device)
    gpu = None if isinstance(found, str) else found
    if isinstance(found, str):
        console(err=True).print(f"no GPU, engines are not proved: {found}")
    requests = rebuild_requests(opened, trt, gpu) if rebuild else [request]
    prover = None if gpu is None else prove_content(opened, trt, gpu)
    written: list[Sidecar] = []
    with _progress() as tell:
        for wanted in requests:
            written += build_into(opened, trt, wanted, device=gpu, tell=tell, prover=prover)
    if json_path is not None:
        write_json(json_path, {each.name: each.to_dict() for each in written})
    if str(json_path) != "-":
        _show(written)


def _show(written: list[Sidecar]) -> None:
    if not written:
        console().print("every engine in the bundle fits this machine: nothing to build")
        return
    rows = table("engine", "MB", "kernels", "casts", "attention", "plugins", "memory", "parity")
    for each in written:
        figure = each.figure
        rows.add_row(
            each.name,
            f"{each.size / 1e6:.1f}",
            str(figure.kernels),
            str(figure.casts),
            f"{figure.attention} fused",
            str(len(figure.plugins)) if each.plugin else "none",
            each.figure.memory,
            _state(each),
        )
    console().print(rows)


def _state(sidecar: Sidecar) -> str:
    if sidecar.kind in SECOND_HALVES:
        return "its network's"
    return "holds" if sidecar.proof else "unproved: no such GPU here"


@contextmanager
def _progress() -> Iterator[Callable[[str], Callable[[float], None]]]:
    """A bar per engine, one after the other."""
    with ExitStack() as shown:

        def following(title: str) -> Callable[[float], None]:
            shown.close()
            return shown.enter_context(progress_bar(title))

        yield following


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise ConfigError(
            f"--workspace: got {text!r}, expected a number of bytes with K, M or G. Write e.g. "
            "512M."
        )
    return int(found[1]) * _UNITS[found[2].upper()]
