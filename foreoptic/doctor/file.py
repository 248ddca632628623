"""Section "file": what lies in the bytes, before anyone asks whether it can be used."""

from dataclasses import dataclass
from math import prod

import onnx

from trainer.frozen.graph import parse_proto


@dataclass(frozen=True)
class FileFacts:
    """What the file says of itself.

    Attributes:
        opsets: version by domain; "" is the standard one.
        parameters: stored numbers, in initializers and Constant nodes.
    """

    ir_version: int
    opsets: dict[str, int]
    producer: str
    nodes: int
    parameters: int


def look_at_file(content: bytes) -> FileFacts:
    """Parse the bytes. Raises UnsupportedModel: they are no ONNX model, or keep data in other files."""
    model = parse_proto(content)
    return FileFacts(
        ir_version=model.ir_version,
        opsets={opset.domain: opset.version for opset in model.opset_import},
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        nodes=len(model.graph.node),
        parameters=sum(prod(tensor.dims) for tensor in _stored(model.graph)),
    )


def _stored(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    constants = [node for node in graph.node if node.op_type == "Constant"]
    return [*graph.initializer, *(a.t for node in constants for a in node.attribute if a.HasField("t"))]
