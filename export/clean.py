"""What the exporter leaves in a graph and nobody wants: shape arithmetic, traces, machine names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common


def clean(
    model: ir.Model, *, name: str, metadata: Mapping[str, str], foreign: bool = False
) -> onnx.ModelProto:
    """Tidy an exported model, name its parts and return it checked.

    Parameters
    ----------
    model
        Of torch.onnx.export, changed in place.
    name
        For the graph.
    metadata
        The only metadata that is kept.
    foreign
        Whether it is of a user's network, in which shapes may be computed.
    """
    graph = model.graph
    if not foreign:
        _fix_reshapes(graph)
    common.RemoveUnusedNodesPass()(model)
    common.DeduplicateInitializersPass()(model)
    _name_values(graph)
    _strip(model)
    graph.name = name
    model.producer_name = "sgn-rt"
    model.producer_version = None
    model.metadata_props.update(metadata)
    proto = ir.to_proto(model)
    # Shapes as the exporter writes them carry its symbols; these carry the contract's names. What
    # an operation of another domain gives, inference cannot know: there the exporter's word stays.
    outside = {name for node in proto.graph.node if node.domain for name in node.output}
    told = [value for value in proto.graph.value_info if value.name in outside]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(told)
    proto = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _fix_reshapes(graph: ir.Graph) -> None:
    """Turn computed target shapes into constants: 0 copies an axis, a -1 follows from the rest."""
    for node in list(graph):
        if node.op_type != "Reshape":
            continue
        source, target = node.inputs[0], node.outputs[0]
        if source is None or source.shape is None or target.shape is None:
            raise AssertionError(f"the exporter gave {node.name} no shape")
        before, after = list(source.shape), list(target.shape)
        same = before == after or len(before) == len(after) == 1
        if same and not target.is_graph_output():
            ir.convenience.replace_all_uses_with(target, source)
            continue
        shape = [
            size if isinstance(size, int) else (0 if i < len(before) and before[i] == size else -1)
            for i, size in enumerate(after)
        ]
        if shape.count(-1) > 1:
            raise AssertionError(f"{node.name}: {before} to {after} needs shape arithmetic")
        constant = ir.Value(
            name=f"{node.name}_shape", const_value=ir.tensor(np.array(shape, np.int64))
        )
        graph.register_initializer(constant)
        node.replace_input_with(1, constant)
        # The exporter sets allowzero, under which a 0 would be an empty axis and no copy.
        node.attributes.pop("allowzero", None)


def _scope(node: ir.Node) -> str:
    """Module path that a node comes from, "" at the top."""
    scopes: Any = node.metadata_props.get("pkg.torch.onnx.name_scopes")
    if scopes is None:
        return ""
    names = [part.strip(" '\"") for part in scopes.strip("[]").split(",")]
    scope = names[-2] if len(names) > 1 else ""
    return "" if scope.startswith("_empty_nn_module_stack") else scope  # of no module


def _name_values(graph: ir.Graph) -> None:
    """Name nodes ``module.path/Op`` and values after their nodes.

    What stands at the top, between the modules, takes the path of what feeds it.
    """
    used: dict[str, int] = {}
    scopes: dict[ir.Value, str] = {}
    for node in graph:
        scope = _scope(node)
        for value in node.inputs if not scope else ():
            scope = scopes.get(value, "") if value is not None else ""
            if scope:
                break
        base = f"{scope or 'network'}/{node.op_type}"
        used[base] = used.get(base, 0) + 1
        node.name = base if used[base] == 1 else f"{base}_{used[base]}"
        for i, value in enumerate(node.outputs):
            scopes[value] = scope
            if not value.is_graph_output():
                value.name = node.name if len(node.outputs) == 1 else f"{node.name}:{i}"
        for i, value in enumerate(node.inputs):
            if value is not None and value.is_initializer() and "." not in (value.name or "."):
                _name_constant(graph, value, node, i)


def _name_constant(graph: ir.Graph, value: ir.Value, node: ir.Node, position: int) -> None:
    """Name the exporter's own constants (``val_12``) after their first use."""
    if value.name and (value.name.startswith("val_") or value.name.endswith("_shape")):
        graph.initializers.pop(value.name)
        value.name = f"{node.name}.input{position}"
        graph.register_initializer(value)


def _strip(model: ir.Model) -> None:
    """Remove stack traces, paths and other notes of the exporter."""
    model.metadata_props.clear()
    model.doc_string = None
    graph = model.graph
    graph.metadata_props.clear()
    graph.doc_string = None
    for node in graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
            value.doc_string = None
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
        value.doc_string = None
        if value.const_value is not None:
            value.const_value.metadata_props.clear()
            value.const_value.doc_string = None
