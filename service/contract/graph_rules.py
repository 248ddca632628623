"""What a graph from outside must satisfy before onnxruntime sees it, judged on its bytes.

A frozen model may be any ordinary file; a corrector is written by our own stages, so that little is allowed. Passing
says that a graph is worth a trial (`service/engine/trial.py`), not that it runs or that it is any good.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from service.contract.digest import canonical_json, sha256_hex
from service.contract.errors import ExternalData, ForeignOperator, GraphTooLarge, UnreadableGraph, WrongInterface
from service.contract.graph_operators import CONTRIB, CORRECTING
from service.contract.graph_sizes import BITS, check_made, check_shape, check_stored
from service.contract.graph_walk import (
    Body,
    bodies,
    describe_node,
    is_external,
    parse_graph,
    roots,
    sparse_tensors,
    stored_tensors,
    with_inner,
)

T = onnx.TensorProto

MIB = 1 << 20
REVISION = 2
"""Of what is checked. Raise it with every change that refuses more: what passed before is then tried again."""
DEEPEST_CALL = 32
LARGEST_INT64 = (1 << 63) - 1

ANY = None
STANDARD = ("", "ai.onnx")
TAKEN = ("ai.onnx.", "com.microsoft.", "com.ms.", "org.pytorch.aten.")
"""Domains, with all below them, in which onnxruntime has operators of its own."""
ORT_FORMAT = b"ORTM"
"""What onnxruntime knows its own format by, at the fifth byte."""


@dataclass(frozen=True)
class GraphRules:
    """The caps and lists for one kind of graph.

    Attributes:
        name: of the kind, in messages and on a command line.
        max_nodes: in all bodies together, calls of local functions replaced by what they call.
        max_depth: of sub-graphs in attributes; 0 allows no control flow.
        max_tensor_bytes: of one tensor, stored or made from constants.
        operators: allowed ones by domain; None allows all of the domain.
        functions: whether the file may bring functions of its own.
        input_types: element types of the one input.
        keeps_shape: whether the first output must have the input's shape and be finite.
    """

    name: str
    max_bytes: int
    max_nodes: int
    max_depth: int
    max_tensor_bytes: int
    operators: Mapping[str, frozenset[str] | None]
    functions: bool
    input_types: frozenset[int]
    keeps_shape: bool

    def identity(self) -> str:
        """A SHA-256 over all that the rules say, the same in every process; other rules have another."""
        lists = {domain: names if names is None else sorted(names) for domain, names in self.operators.items()}
        facts = {**vars(self), "operators": lists, "input_types": sorted(self.input_types), "revision": REVISION}
        return sha256_hex(canonical_json(facts))


FROZEN_MODEL = GraphRules(
    name="model",
    # Where protobuf ends, and with it ONNX without external data.
    max_bytes=2048 * MIB - 1,
    max_nodes=50_000,
    max_depth=8,
    max_tensor_bytes=2048 * MIB,
    operators={**dict.fromkeys(STANDARD, ANY), "com.microsoft": CONTRIB},
    functions=True,
    input_types=frozenset((T.FLOAT, T.FLOAT16, T.DOUBLE, T.UINT8, T.INT8, T.UINT16, T.INT16, T.INT32, T.INT64)),
    keeps_shape=False,
)

CORRECTOR = GraphRules(
    name="corrector",
    max_bytes=16 * MIB,
    max_nodes=512,
    max_depth=0,
    max_tensor_bytes=64 * MIB,
    operators=dict.fromkeys(STANDARD, CORRECTING),
    functions=False,
    input_types=frozenset((T.FLOAT, T.FLOAT16, T.DOUBLE, T.UINT8)),
    keeps_shape=True,
)

RULES = {rules.name: rules for rules in (FROZEN_MODEL, CORRECTOR)}


def check_graph(content: bytes, rules: GraphRules) -> onnx.ModelProto:
    """The parsed graph, if it satisfies the rules.

    Raises:
        GraphError: it breaks one; the class says which, the message where, how much is allowed and what to do.
    """
    if len(content) > rules.max_bytes:
        raise GraphTooLarge(f"the file has {len(content)} bytes; a {rules.name} has at most {rules.max_bytes}")
    _refuse_other_format(content)
    model = parse_graph(content)
    # From cheap to dear, and counts first: what follows visits every node.
    _check_extent(model, rules)
    _check_operators(model, rules)
    _check_calls(model, rules)
    for where, tensor in stored_tensors(model):
        _refuse_external(tensor, where)
        check_stored(tensor, where, rules.max_tensor_bytes)
    for where, sparse in sparse_tensors(model):
        # Written out when it is loaded, however little of it is stored.
        what = f"sparse tensor '{sparse.values.name[:80]}' in {where}"
        check_shape(tuple(sparse.dims), BITS.get(sparse.values.data_type, 8), what, rules.max_tensor_bytes)
    for root in roots(model):
        check_made(root, rules.max_tensor_bytes)
    _check_interface(model, rules)
    return model


def only_input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """The graph's one input.

    Raises:
        WrongInterface: there are none or several.
    """
    graph = model.graph
    # Files before IR version 4 list their initializers among the inputs.
    stored = {tensor.name for tensor in graph.initializer} | {sparse.values.name for sparse in graph.sparse_initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(f"'{value.name[:80]}'" for value in inputs[:8])
        raise WrongInterface(
            f"the model has {len(inputs)} inputs ({names}); a corrector stands in front of one: "
            "export the model with the others fixed inside"
        )
    entry: onnx.ValueInfoProto = inputs[0]
    return entry


def _refuse_other_format(content: bytes) -> None:
    # The same bytes can be both: rules for the one say nothing of the other.
    if content[4:8] == ORT_FORMAT:
        raise UnreadableGraph(
            "the file is in onnxruntime's own format, or made to look so (bytes 5 to 8 are ORTM); give the .onnx file"
        )


def _check_extent(model: onnx.ModelProto, rules: GraphRules) -> None:
    nodes = 0
    for body in bodies(model):
        nodes += len(body.proto.node)
        if nodes > rules.max_nodes:
            raise GraphTooLarge(f"the graph has more than {rules.max_nodes} nodes, the most that a {rules.name} has")
        if body.depth > rules.max_depth:
            raise GraphTooLarge(
                f"{body.where} holds a graph, {body.depth} deep; a {rules.name} has them at most {rules.max_depth} deep"
            )


def _check_operators(model: onnx.ModelProto, rules: GraphRules) -> None:
    if model.functions and not rules.functions:
        raise ForeignOperator(f"the file brings functions of its own; a {rules.name} is made of plain operators")
    own = _own_functions(model)
    for body in bodies(model):
        for node in body.proto.node:
            allowed = rules.operators.get(node.domain, frozenset())
            if allowed is not ANY and node.op_type not in allowed and (node.domain, node.op_type) not in own:
                raise ForeignOperator(
                    f"{describe_node(node)} in {body.where} is no operator that a {rules.name} may use; "
                    f"export it with standard ONNX operators only"
                )


def _own_functions(model: onnx.ModelProto) -> set[tuple[str, str]]:
    """Domain and name of every function in the file, each of which can be called and is no operator besides."""
    own: set[tuple[str, str]] = set()
    for function in model.functions:
        key = function.domain, function.name
        words = f"function '{function.name[:80]}' of domain '{function.domain[:80]}'"
        # Where onnxruntime has an operator of that name, it takes that one.
        if not function.domain or f"{function.domain}.".startswith(TAKEN):
            raise ForeignOperator(f"{words} may take the place of an operator; give it a domain of your own")
        # onnxruntime takes any one of several, whatever overload a node asks for.
        if key in own:
            raise ForeignOperator(f"{words} is there twice; give each function, each overload too, a name of its own")
        own.add(key)
    return own


def _check_calls(model: onnx.ModelProto, rules: GraphRules) -> None:
    """Count the nodes with every call replaced by what it calls: two lines that call each other twice make four."""
    if not model.functions:
        return
    main, *others = roots(model)
    whole = {(function.domain, function.name): body for function, body in zip(model.functions, others, strict=False)}
    counted: dict[tuple[str, str], int] = {}

    def count(body: Body, path: tuple[tuple[str, str], ...]) -> int:
        if len(path) > DEEPEST_CALL or len(set(path)) < len(path):
            raise GraphTooLarge(f"{body.where} calls itself, or is called more than {DEEPEST_CALL} deep")
        total = 0
        for node in (node for part in with_inner(body) for node in part.proto.node):
            key = node.domain, node.op_type
            if key in whole and key not in counted:
                counted[key] = count(whole[key], (*path, key))
            total += counted.get(key, 1)
        return total

    if count(main, ()) > rules.max_nodes:
        raise GraphTooLarge(f"with its functions written out the graph has more than {rules.max_nodes} nodes")


def _refuse_external(tensor: onnx.TensorProto, where: str) -> None:
    if is_external(tensor):
        raise ExternalData(
            f"tensor '{tensor.name[:80]}' in {where} keeps its data outside the file; save the model with all data "
            f"inside (onnx.save_model(..., save_as_external_data=False) or torch.onnx.export(..., external_data=False))"
        )


def _check_interface(model: onnx.ModelProto, rules: GraphRules) -> None:
    entry = only_input(model)
    kind = entry.type.tensor_type.elem_type
    if kind not in rules.input_types:
        allowed = ", ".join(sorted(T.DataType.Name(number) for number in rules.input_types))
        raise WrongInterface(f"input '{entry.name[:80]}' has data type {_type_name(kind)}; allowed are {allowed}")
    if not model.graph.output:
        raise WrongInterface("the graph has no output; give one whole .onnx file")
    for value in (entry, *model.graph.output):
        # 0 and -1 are what some exporters write for an open side.
        sides = tuple(
            side.dim_value if side.dim_value not in (0, -1) else 1 for side in value.type.tensor_type.shape.dim
        )
        check_shape(sides, 8, f"'{value.name[:80]}' at the graph's edge", LARGEST_INT64)


def _type_name(kind: int) -> str:
    return str(T.DataType.Name(kind)) if kind in T.DataType.values() else f"number {kind}"
