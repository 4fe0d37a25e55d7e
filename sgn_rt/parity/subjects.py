"""Which engine runs a graph here, to be compared with the reference."""

from __future__ import annotations

from sgn_rt.model.bundle import OUTDATED, Artifact, Bundle
from sgn_rt.model.contract import SECOND_HALVES, Kind
from sgn_rt.tensorrt.bindings import Flavor, is_installed
from sgn_rt.tensorrt.device.factory import find_device
from sgn_rt.tensorrt.engine_files import read_sidecars


def subjects(bundle: Bundle) -> tuple[list[str], dict[str, str]]:
    """Engines to compare, and why the other graphs are left out.

    Returns
    -------
    specs
        As `open_engine` takes them: ONNX Runtime, or TensorRT with an engine built of the graph.
    left_out
        Graph -> reason.
    """
    specs, left_out = [], {a.name: f"{a.name} was {OUTDATED}" for a in bundle.outdated}
    for artifact in bundle.artifacts:
        if artifact.kind in SECOND_HALVES:
            continue  # its network brings it along
        spec = _runner(bundle, artifact)
        if spec is None:
            reason = "runs in TensorRT alone, which has no engine of it here"
            left_out[artifact.name] = f"{artifact.name} {reason}"
        else:
            specs.append(spec)
    return specs, left_out


def _runner(bundle: Bundle, artifact: Artifact) -> str | None:
    """The engine that runs a graph here, with it."""
    if artifact.kind != Kind.PLUGIN:
        return f"onnxruntime:{artifact.name}"
    built = {s.flavor for s in read_sidecars(bundle) if s.artifact == artifact.name}
    found = [flavor for flavor in Flavor if flavor in built and is_installed(flavor)]
    return f"{found[0]}:{artifact.name}" if found and find_device() is not None else None
