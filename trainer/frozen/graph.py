"""Read ONNX bytes into a graph, order its nodes, and cut it down to what some tensors need.

Here is structure only: no node is computed, no operator looked up. Two rules hold for every `Graph` that leaves this
file: its nodes are in topological order, and all of its data was inside the bytes (no file is ever opened).
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnx.defs
import onnx.helper
from google.protobuf.message import DecodeError

from service.contract.errors import WrongInterface
from service.contract.graph_rules import only_input
from service.contract.graph_walk import is_external, stored_tensors
from trainer.frozen.errors import UnsupportedModel
from trainer.frozen.node import DEFAULT_DOMAINS, Node, decode_node, read_tensor

INPUT_TYPES = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.UINT8,
)


@dataclass(frozen=True, eq=False)
class Graph:
    """What the file says.

    Attributes:
        input_name: the only input.
        input_shape: one entry per dimension, None where the file leaves it open; None altogether if the rank is open.
        input_type: numpy type of the input, a floating one or uint8.
        outputs: names, the primary one first.
        nodes: in topological order.
        initializers: by tensor name.
    """

    input_name: str
    input_shape: tuple[int | None, ...] | None
    input_type: np.dtype
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    initializers: Mapping[str, np.ndarray]


def parse_proto(model_bytes: bytes) -> onnx.ModelProto:
    """Decode the protobuf message. Raises UnsupportedModel if it is malformed or keeps tensors in other files."""
    try:
        model = onnx.load_model_from_string(model_bytes)
    except DecodeError as error:
        raise UnsupportedModel(
            f"{len(model_bytes)} bytes are no ONNX model: {error}; give the whole content of one .onnx file"
        ) from error
    if not model.graph.output:
        raise UnsupportedModel(f"{len(model_bytes)} bytes hold no graph with an output; give one whole .onnx file")
    for _, tensor in stored_tensors(model):
        if is_external(tensor):
            raise UnsupportedModel(
                f"tensor {tensor.name!r} keeps its data outside the file; save the model with all data inside "
                f"(onnx.save_model(..., save_as_external_data=False) or torch.onnx.export(..., external_data=False))"
            )
    return model


def read_graph(model_bytes: bytes) -> Graph:
    """Read a whole model.

    Raises:
        UnsupportedModel: malformed bytes, external data, not exactly one input of INPUT_TYPES, an opset that the
            installed onnx does not know, a tensor that is used but never made, or a cycle.
        UnsupportedOperator: never; operators are looked up by who computes the graph.
    """
    model = parse_proto(model_bytes)
    opsets = _opsets(model)
    initializers = {t.name: read_tensor(t, "initializer") for t in model.graph.initializer}
    for sparse in model.graph.sparse_initializer:
        raise UnsupportedModel(f"initializer {sparse.values.name!r} is sparse; export the model with dense weights")
    entry = _only_input(model)
    outputs = tuple(output.name for output in model.graph.output)
    nodes = _without_unread_outputs([decode_node(proto, opsets) for proto in model.graph.node], outputs)
    return Graph(
        input_name=entry.name,
        input_shape=_declared_shape(entry.type.tensor_type),
        input_type=onnx.helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type),
        outputs=outputs,
        nodes=sort_nodes(nodes, available={entry.name, *initializers}, outputs=outputs),
        initializers=initializers,
    )


def _without_unread_outputs(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """Blank further outputs that no one reads: older exporters name Dropout's mask and training-time statistics.

    They keep their places: how many parts Split makes is told by how many outputs it has.
    """
    read = {name for node in nodes for name in node.inputs}.union(outputs)

    def named(node: Node) -> tuple[str, ...]:
        return tuple(name if index == 0 or name in read else "" for index, name in enumerate(node.outputs))

    return [replace(node, outputs=named(node)) for node in nodes]


def sort_nodes(nodes: Sequence[Node], *, available: Collection[str], outputs: Sequence[str]) -> tuple[Node, ...]:
    """Order nodes so that each comes after the makers of its inputs; nodes that may stay in file order do.

    Args:
        nodes: in any order.
        available: tensors that are there before the first node.
        outputs: tensors that must be there after the last.

    Raises:
        UnsupportedModel: a tensor is made twice, or is needed and never made (which a cycle also is).
    """
    _refuse_second_makers(nodes, available)
    done, ordered, waiting = {"", *available}, [], list(nodes)
    while waiting:
        blocked = []
        for node in waiting:
            if done.issuperset(node.inputs):
                ordered.append(node)
                done.update(node.outputs)
            else:
                blocked.append(node)
        if len(blocked) == len(waiting):
            missing = [name for name in blocked[0].inputs if name not in done]
            raise UnsupportedModel(f"{blocked[0].label} waits for {missing}, which nothing makes; export it again")
        waiting = blocked
    missing = [name for name in outputs if name not in done]
    if missing:
        raise UnsupportedModel(f"graph outputs {missing} are made by no node; the file is damaged, export it again")
    return tuple(ordered)


def _refuse_second_makers(nodes: Sequence[Node], available: Collection[str]) -> None:
    makers = Counter(available) + Counter(name for node in nodes for name in node.outputs if name)
    twice = [name for name, count in makers.items() if count > 1]
    if twice:
        raise UnsupportedModel(f"tensor {twice[0]!r} is made more than once; the file is damaged, export it again")


def ancestors(nodes: Sequence[Node], targets: Collection[str]) -> tuple[Node, ...]:
    """The nodes that `targets` need, in the order given, which must be topological."""
    needed, kept = set(targets), []
    for node in reversed(nodes):
        if needed.intersection(name for name in node.outputs if name):
            kept.append(node)
            needed.update(node.inputs)
    return tuple(reversed(kept))


def last_uses(nodes: Sequence[Node], keep: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """For each node the tensors, made by one of `nodes` and not in `keep`, that nobody reads after it."""
    living: set[str] = set(keep) | {""}
    drops = []
    for node in reversed(nodes):
        drops.append(tuple(dict.fromkeys(name for name in (*node.outputs, *node.inputs) if name not in living)))
        living.update(node.outputs, node.inputs)
    made = {name for node in nodes for name in node.outputs}
    return tuple(tuple(name for name in drop if name in made) for drop in reversed(drops))


def _opsets(model: onnx.ModelProto) -> dict[str, int]:
    opsets = {"" if o.domain in DEFAULT_DOMAINS else o.domain: int(o.version) for o in model.opset_import}
    known = onnx.defs.onnx_opset_version()
    if opsets.get("", 1) > known:
        raise UnsupportedModel(
            f"the model uses opset {opsets['']}, the installed onnx {onnx.__version__} knows up to {known}; "
            f"upgrade onnx or export with an older opset"
        )
    return opsets


def _only_input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    try:
        entry = only_input(model)
    except WrongInterface as error:
        raise UnsupportedModel(str(error)) from error
    kind = entry.type.tensor_type.elem_type
    if kind not in INPUT_TYPES:
        raise UnsupportedModel(
            f"input {entry.name!r} has type {_type_name(kind)}, a frozen model takes one of "
            f"{[_type_name(allowed) for allowed in INPUT_TYPES]}; export it with one of these"
        )
    return entry


def _type_name(kind: int) -> str:
    types = onnx.TensorProto.DataType
    return str(types.Name(kind)) if kind in types.values() else f"number {kind}"


def _declared_shape(kind: onnx.TypeProto.Tensor) -> tuple[int | None, ...] | None:
    if not kind.HasField("shape"):
        return None
    # Zero and -1 are what some exporters write for an open dimension.
    return tuple(int(dim.dim_value) if dim.dim_value > 0 else None for dim in kind.shape.dim)
