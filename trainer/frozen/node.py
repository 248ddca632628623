"""One node of an ONNX graph with its attributes decoded once. Knows nothing of torch, nor of how a node is computed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.defs
import onnx.helper
import onnx.numpy_helper

from trainer.frozen.errors import UnsupportedModel, UnsupportedOperator

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | np.ndarray | None
"""A decoded attribute; None stands for the kinds that no operator of the table reads (sub-graphs, sparse, strings)."""

DEFAULT_DOMAINS = ("", "ai.onnx")
TENSOR_KINDS = "biuf"
"""Numpy's kinds that torch holds too; not bfloat16, float8, four-bit integers, strings, complex numbers."""


@dataclass(frozen=True, eq=False)
class Node:
    """One node; compared and hashed by identity.

    Attributes:
        name: the node's own name, or its first output where the exporter gave none.
        domain: "" for the standard operators.
        operator: for instance "Conv".
        opset: version of the domain that the model imports.
        version: since-version of the operator's schema at that opset; for a domain whose schemas are not installed,
            the version of the domain that the model imports; None if neither is known.
        inputs: tensor names; "" for an optional input that is left out.
        outputs: tensor names; "" for an output that is left out or that nobody reads.
        attributes: by name; only what the file states, defaults belong to the operator.
    """

    name: str
    domain: str
    operator: str
    opset: int
    version: int | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]

    @property
    def label(self) -> str:
        """The node in a message: name, operator, version, opset."""
        operator = f"{self.domain}::{self.operator}" if self.domain else self.operator
        return f"node {self.name!r} ({operator}, since version {self.version}, opset {self.opset})"

    def refusal(self, reason: str) -> UnsupportedOperator:
        """An error, for the caller to raise, that says which node asks for something that is not computed."""
        return UnsupportedOperator(f"{self.label}: {reason}")

    def integer(self, attribute: str, default: int) -> int:
        """The integer attribute, or `default`. Raises UnsupportedOperator if it has another kind."""
        value = self.attributes.get(attribute, default)
        if not isinstance(value, int):
            raise self.refusal(f"attribute {attribute!r} is {value!r}, expected an integer; re-export the model")
        return value

    def real(self, attribute: str, default: float) -> float:
        """The float attribute, or `default`. Raises UnsupportedOperator if it has another kind."""
        value = self.attributes.get(attribute, default)
        if not isinstance(value, float):
            raise self.refusal(f"attribute {attribute!r} is {value!r}, expected a float; re-export the model")
        return value

    def text(self, attribute: str, default: str) -> str:
        """The string attribute, or `default`. Raises UnsupportedOperator if it has another kind."""
        value = self.attributes.get(attribute, default)
        if not isinstance(value, str):
            raise self.refusal(f"attribute {attribute!r} is {value!r}, expected a string; re-export the model")
        return value

    def integers(self, attribute: str) -> tuple[int, ...] | None:
        """The integer list, or None if it is not given. Raises UnsupportedOperator if it has another kind."""
        value = self.attributes.get(attribute)
        if value is None:
            return None
        if not isinstance(value, tuple) or not all(isinstance(item, int) for item in value):
            raise self.refusal(f"attribute {attribute!r} is {value!r}, expected integers; re-export the model")
        return tuple(int(item) for item in value)


def decode_node(proto: onnx.NodeProto, opsets: Mapping[str, int]) -> Node:
    """Decode one node; `opsets` maps a domain ("" for the standard one) to the version that the model imports.

    Raises:
        UnsupportedModel: the node has fewer or more inputs or outputs than its operator takes, or a damaged attribute.
    """
    domain = "" if proto.domain in DEFAULT_DOMAINS else proto.domain
    opset = opsets.get(domain, 0)
    outputs = list(proto.output)
    while outputs and not outputs[-1]:
        outputs.pop()
    schema = _schema(proto.op_type, opset, domain)
    node = Node(
        name=proto.name or next(filter(None, outputs), proto.op_type),
        domain=domain,
        operator=proto.op_type,
        opset=opset,
        version=int(schema.since_version) if schema is not None else _foreign_version(domain, opset),
        inputs=tuple(proto.input),
        outputs=tuple(outputs),
        attributes={attribute.name: _decode_attribute(attribute) for attribute in proto.attribute},
    )
    if schema is not None:
        _check_arity("inputs", node, node.inputs, schema.min_input, schema.max_input)
        _check_arity("outputs", node, node.outputs, schema.min_output, schema.max_output)
    return node


def _schema(operator: str, opset: int, domain: str) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(operator, max_inclusive_version=opset, domain=domain)
    except (onnx.defs.SchemaError, TypeError):  # TypeError: a version or a name that is no int32 or no text.
        return None


def _foreign_version(domain: str, opset: int) -> int | None:
    # onnxruntime's own operators have had one version for ever; nothing finer than the import is in the file.
    return opset or None if domain else None


def _check_arity(kind: str, node: Node, names: tuple[str, ...], fewest: int, most: int) -> None:
    if not fewest <= len(names) <= most:
        raise UnsupportedModel(
            f"{node.label} has {len(names)} {kind}, allowed {fewest} to {most}; the file is damaged, export it again"
        )


def _decode_attribute(proto: onnx.AttributeProto) -> Attribute:
    kinds = onnx.AttributeProto
    if proto.type in (kinds.INT, kinds.FLOAT):
        value: int | float = onnx.helper.get_attribute_value(proto)
        return value
    if proto.type == kinds.STRING:
        return proto.s.decode("utf-8", errors="replace")
    if proto.type in (kinds.INTS, kinds.FLOATS):
        return tuple(onnx.helper.get_attribute_value(proto))
    if proto.type == kinds.TENSOR:
        return read_tensor(proto.t, f"attribute {proto.name!r}")
    return None


def read_tensor(proto: onnx.TensorProto, where: str) -> np.ndarray:
    """The tensor's values, in an array of its own.

    Raises:
        UnsupportedModel: the bytes do not fit the stated shape, or the type is none of `TENSOR_KINDS`.
    """
    try:
        array = np.array(onnx.numpy_helper.to_array(proto), copy=True)
    except (ValueError, TypeError, KeyError) as error:
        raise UnsupportedModel(
            f"tensor {proto.name!r} ({where}) cannot be decoded: {error}; the file is damaged, export it again"
        ) from error
    # Types that other packages add to numpy may claim a kind and are none of torch's.
    if array.dtype.kind not in TENSOR_KINDS or array.dtype.isbuiltin != 1:
        raise UnsupportedModel(
            f"tensor {proto.name!r} ({where}) has type {array.dtype}, allowed booleans, integers and floats of IEEE "
            f"754; export the model in float32"
        )
    return array
