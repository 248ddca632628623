"""Reading ONNX bytes, and every tensor and every list of nodes in them, wherever these hide. Judges nothing.

The walks follow protobuf's own description of the message and not a list of places, so that a field which a later onnx
adds is visited, too. They keep their own stack: no file can exhaust Python's.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from service.contract.errors import UnreadableGraph

TENSOR = onnx.TensorProto.DESCRIPTOR
SPARSE = onnx.SparseTensorProto.DESCRIPTOR
GRAPH = onnx.GraphProto.DESCRIPTOR


@dataclass(frozen=True, eq=False)
class Body:
    """One list of nodes: the main graph, a sub-graph of an attribute, or a local function.

    Attributes:
        proto: a GraphProto or a FunctionProto.
        where: in words, for a message.
        depth: 0 for the main graph and for functions, one more for each attribute around it.
    """

    proto: Any
    where: str
    depth: int


def parse_graph(content: bytes) -> onnx.ModelProto:
    """Decode the protobuf message; no file is opened.

    Raises:
        UnreadableGraph: the bytes are no ONNX file, or hold no graph.
    """
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise UnreadableGraph(f"{len(content)} bytes are no ONNX model; give the whole content of one file") from error
    if not model.HasField("graph"):
        raise UnreadableGraph(f"{len(content)} bytes hold no graph; give the whole content of one .onnx file")
    return model


def stored_tensors(message: Any) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Every tensor below a message, the parts of sparse ones included, with words for where it is."""
    return ((where, found) for where, kind, found in _below(message) if kind is TENSOR)


def sparse_tensors(message: Any) -> Iterator[tuple[str, onnx.SparseTensorProto]]:
    """Every sparse tensor below a message, with words for where it is."""
    return ((where, found) for where, kind, found in _below(message) if kind is SPARSE)


def _below(message: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every message below a message, except what tensors are made of: where, type, message."""
    waiting = [(message, "the main graph")]
    while waiting:
        current, place = waiting.pop()
        where = describe_node(current) if isinstance(current, onnx.NodeProto) else place
        for kind, part in _messages(current):
            yield where, kind, part
            # A tensor's fields would be copied to be looked at.
            if kind is not TENSOR:
                waiting.append((part, where))


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether the tensor keeps its data outside the file."""
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def roots(model: onnx.ModelProto) -> list[Body]:
    """The lists of nodes that are in no other: the main graph, the functions, the graphs of training information."""
    training = [graph for info in model.training_info for graph in (info.initialization, info.algorithm)]
    return [
        Body(model.graph, "the main graph", 0),
        *(Body(function, f"function '{function.domain}::{function.name}'", 0) for function in model.functions),
        *(Body(graph, "training information", 0) for graph in training),
    ]


def with_inner(root: Body) -> Iterator[Body]:
    """A list of nodes and all that its nodes hold in attributes, the outer ones first."""
    waiting = deque([root])
    while waiting:
        body = waiting.popleft()
        yield body
        waiting += inner_bodies(body)


def bodies(model: onnx.ModelProto) -> Iterator[Body]:
    """Every list of nodes in a file."""
    for root in roots(model):
        yield from with_inner(root)


def inner_bodies(body: Body) -> list[Body]:
    """The sub-graphs in the attributes of a body's nodes, one level down."""
    return [
        Body(graph, describe_node(node), body.depth + 1)
        for node in body.proto.node
        for attribute in node.attribute
        for field, graph in _messages(attribute)
        if field is GRAPH
    ]


def describe_node(node: onnx.NodeProto) -> str:
    """A node in a message: its name, or its first output where it has none, and its operator."""
    name = node.name or next(iter(node.output), "")
    operator = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
    return f"node '{name[:80]}' ({operator[:80]})"


def _messages(message: Any) -> Iterator[tuple[Any, Any]]:
    """The message's own parts that are messages, each with its type."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "DESCRIPTOR") else value:
                yield field.message_type, part
