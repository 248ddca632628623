"""ONNX files that mean harm, each as small as it can be, built on one harmless graph: y = x * 2."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
OUTSIDE = "../../../../etc/hostname"

Change = Callable[[ModelProto], object]


def constant(name: str, *values: float, kind: type = np.int64) -> TensorProto:
    return numpy_helper.from_array(np.array(values, kind), name)


def edge(name: str, shape: Sequence[int | str] | None = ("n", 1, 8, 8), kind: int = FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(nodes: Sequence[NodeProto], constants: Sequence[TensorProto] = (), **parts: Any) -> ModelProto:
    """A model with input x (n, 1, 8, 8) float32 and output y, whose shape is left open."""
    graph = helper.make_graph(list(nodes), "main", [edge("x")], [edge("y", None)], list(constants))
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)], ir_version=9, **parts
    )


def doubling() -> ModelProto:
    nodes = [helper.make_node("Mul", ["x", "two"], ["y"], name="double")]
    return model_of(nodes, [constant("two", 2.0, kind=np.float32)])


def changed(change: Change) -> bytes:
    """The harmless graph with one thing done to it."""
    model = doubling()
    change(model)
    return model.SerializeToString()


def with_nodes(*nodes: NodeProto, constants: Sequence[TensorProto] = (), **parts: Any) -> bytes:
    """The harmless graph with nodes in front that nobody needs."""
    plain = doubling()
    model = model_of([*nodes, *plain.graph.node], [*constants, *plain.graph.initializer], **parts)
    return model.SerializeToString()


# Data in other files.


def outside(name: str = "secret", location: str = OUTSIDE) -> TensorProto:
    tensor = TensorProto(name=name, data_type=FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def sub_graph(*nodes: NodeProto, constants: Sequence[TensorProto] = ()) -> GraphProto:
    result = helper.make_node("Identity", ["x"], ["inner"])
    return helper.make_graph([*nodes, result], "inside", [], [edge("inner", None)], list(constants))


def branching(graph: GraphProto, name: str = "branch") -> NodeProto:
    return helper.make_node("If", ["yes"], [f"{name}_out"], name=name, then_branch=graph, else_branch=sub_graph())


YES = numpy_helper.from_array(np.array(True), "yes")


def nested(depth: int, *nodes: NodeProto, constants: Sequence[TensorProto] = ()) -> bytes:
    """`nodes` and `constants` in a sub-graph, `depth` deep."""
    graph = sub_graph(*nodes, constants=constants)
    for level in range(depth - 1):
        graph = sub_graph(branching(graph, f"level{level}"))
    return with_nodes(branching(graph), constants=[YES])


def sparse(values: TensorProto, dims: Sequence[int]):
    return helper.make_sparse_tensor(values, constant("places", 0), dims)


def function(*nodes: NodeProto, name: str = "helper", domain: str = "own", overload: str = "") -> FunctionProto:
    last = helper.make_node("Identity", ["a"], ["b"])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_function(domain, name, ["a"], ["b"], [*nodes, last], opsets, overload=overload)


def call(name: str, output: str = "unused", domain: str = "own", of: str = "x") -> NodeProto:
    return helper.make_node(name, [of], [output], domain=domain)


def in_training(model: ModelProto) -> None:
    model.training_info.add().algorithm.initializer.append(outside())


def in_attribute_default(model: ModelProto) -> None:
    own = function()
    own.attribute_proto.append(helper.make_attribute("value", outside()))
    model.functions.append(own)


SECRET = helper.make_node("Constant", [], ["unused"], name="reader", value=outside())
EXTERNAL = {
    "initializer": changed(lambda m: m.graph.initializer.append(outside())),
    "absolute_location": changed(lambda m: m.graph.initializer.append(outside(location="/etc/hostname"))),
    "location_beside": changed(lambda m: m.graph.initializer.append(outside(location="weights.bin"))),
    "no_location": changed(
        lambda m: m.graph.initializer.append(TensorProto(name="s", data_type=FLOAT, dims=[1], data_location=1))
    ),
    "address_in_memory": changed(lambda m: m.graph.initializer.append(outside(location="*/_ORT_MEM_ADDR_/*"))),
    "attribute": with_nodes(SECRET),
    "list_in_an_attribute": with_nodes(helper.make_node("Constant", [], ["unused"], name="reader", value=[outside()])),
    "sub_graph": nested(1, constants=[outside()]),
    "attribute_in_a_sub_graph": nested(3, SECRET),
    "sparse_values": changed(lambda m: m.graph.sparse_initializer.append(sparse(outside(), [4]))),
    "sparse_attribute": with_nodes(
        helper.make_node("Constant", [], ["unused"], name="reader", sparse_value=sparse(outside(), [4]))
    ),
    "function": with_nodes(call("helper"), functions=[function(SECRET)]),
    "function_that_nobody_calls": with_nodes(functions=[function(SECRET)]),
    "default_of_a_function": changed(in_attribute_default),
    "training_information": changed(in_training),
}


# More than fits.

HUGE = 10**12


def claiming(*dims: int, **stored: Any) -> bytes:
    tensor = TensorProto(name="giant", data_type=FLOAT, dims=dims, **stored)
    return changed(lambda m: m.graph.initializer.append(tensor))


def making(operator: str, *inputs: Any, **attributes: Any) -> bytes:
    """A node whose inputs are constants, or x where None."""
    constants = [
        constant(f"k{index}", *values, kind=type(values[0]))
        for index, values in enumerate(inputs)
        if values is not None and values
    ]
    names = ["x" if values is None else f"k{index}" if values else "" for index, values in enumerate(inputs)]
    node = helper.make_node(operator, names, ["made"], name="maker", **attributes)
    return with_nodes(node, constants=constants)


def in_one_constant(model: ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["size"], ["made"], name="maker"))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["size"], value_ints=[HUGE]))


def doubling_calls(times: int, *, decoys: bool = False) -> bytes:
    """Two calls of a function with two calls of a function with two calls ...: 2 ** times nodes.

    Args:
        decoys: whether there is a harmless overload of each.
    """
    functions = [function(name="f0")]
    for level in range(1, times):
        calls = [call(f"f{level - 1}", output, of="a") for output in ("left", "right")]
        functions.append(function(*calls, name=f"f{level}"))
        functions += [function(name=f"f{level}", overload="small")] * decoys
    return with_nodes(call(f"f{times - 1}"), functions=functions)


def field(number: int, body: bytes) -> bytes:
    """A field of a protobuf message, as it is on the wire."""
    size, prefix = len(body), bytes([number << 3 | 2])
    while size >= 128:
        prefix, size = prefix + bytes([size & 127 | 128]), size >> 7
    return prefix + bytes([size]) + body


def empty_nodes(count: int) -> bytes:
    """A graph of `count` nodes of two bytes each, of which protobuf makes sixty times as much memory."""
    return field(7, field(1, b"") * count)


def matryoshka(depth: int) -> bytes:
    """A graph in an attribute of a node of a graph in an attribute, deeper than onnx itself would write."""
    graph = b""
    for _ in range(depth):
        graph = field(1, field(5, field(6, graph)))
    return field(7, graph)


TOO_LARGE = {
    "a_hundred_thousand_nodes": with_nodes(*(helper.make_node("Relu", ["x"], [f"r{i}"]) for i in range(100_000))),
    "nested_nine_deep": nested(9),
    "functions_that_double": doubling_calls(20),
    "function_that_calls_itself": with_nodes(call("helper"), functions=[function(call("helper", of="a"))]),
    "functions_that_call_each_other": with_nodes(
        call("f"), functions=[function(call("g", of="a"), name="f"), function(call("f", of="a"), name="g")]
    ),
    "tensor_of_a_trillion_and_no_data": claiming(HUGE),
    "tensor_of_a_trillion_and_one_byte": claiming(10**6, 10**6, raw_data=b"0"),
    "tensor_beyond_every_integer": claiming(2**62, 2**62, 2**62),
    "sparse_of_a_trillion": changed(
        lambda m: m.graph.sparse_initializer.append(sparse(constant("one", 1.0, kind=np.float32), [HUGE]))
    ),
    "two_gigabytes_in_doubles": making(
        "ConstantOfShape", (1 << 29,), value=numpy_helper.from_array(np.zeros(1, np.float64))
    ),
    "two_gigabytes_in_floats_that_nobody_names": making("ConstantOfShape", (3 << 28,)),
    "two_gigabytes_drawn_as_doubles": making("RandomUniform", shape=[1 << 29], dtype=TensorProto.DOUBLE),
    "two_gigabytes_of_whole_numbers": making("Range", (0,), (1 << 29,), (1,)),
    "two_gigabytes_expanded": making("Expand", (1.5,), (1 << 29,)),
    "sparse_of_two_gigabytes_in_doubles": changed(
        lambda m: m.graph.sparse_initializer.append(sparse(constant("one", 1.0, kind=np.float64), [1 << 29]))
    ),
    "constant_of_shape": making("ConstantOfShape", (HUGE,)),
    "constant_of_shape_from_a_node": changed(in_one_constant),
    "constant_of_shape_in_a_sub_graph": nested(
        2, helper.make_node("ConstantOfShape", ["size"], ["made"]), constants=[constant("size", HUGE)]
    ),
    "expand": making("Expand", None, (10**4, 10**4, 10**4, 1)),
    "tile": making("Tile", None, (10**3, 10**3, 10**3, 10**3)),
    "range": making("Range", (0,), (HUGE,), (1,)),
    "range_of_fractions": making("Range", (0.0,), (1.0,), (1e-12,)),
    "pad": making("Pad", None, (0, 0, 0, 0, 0, 0, 10**6, 10**6)),
    "resize_to_a_size": making("Resize", None, (), (), (1, 1, 10**6, 10**6)),
    "resize_by_a_scale": making("Resize", None, (), (1.0, 1.0, 1e6, 1e6)),
    "random": making("RandomNormal", shape=[HUGE]),
    "an_edge_beyond_every_integer": changed(lambda m: m.graph.input[0].CopyFrom(edge("x", ["n", 2**40, 2**40, 2**40]))),
}

DAMAGED = {
    "negative_side": claiming(-1),
    "two_negative_sides": claiming(-2, -2, raw_data=b"0" * 16),
    "too_little_raw_data": claiming(4, raw_data=b"0" * 15),
    "too_much_raw_data": claiming(4, raw_data=b"0" * 17),
    "too_few_numbers": claiming(4, float_data=[0.0] * 3),
    "data_in_the_wrong_field": claiming(4, int64_data=[0] * 4),
    "data_in_two_fields": claiming(1, raw_data=b"0" * 4, float_data=[0.0]),
    "no_type": changed(lambda m: m.graph.initializer.append(TensorProto(name="untyped", dims=[0]))),
    "unknown_type": changed(lambda m: m.graph.initializer.append(TensorProto(name="t", data_type=999, dims=[0]))),
    "constant_of_negative_shape": making("ConstantOfShape", (-5,)),
    "negative_input": changed(lambda m: m.graph.input[0].CopyFrom(edge("x", ["n", -7, 8, 8]))),
}


# Operators that are not ours.

FOREIGN = {
    "unknown_domain": with_nodes(call("Anything", domain="com.example")),
    "domain_that_looks_standard": with_nodes(call("Relu", domain="ai.onnx ")),
    "python_operator": with_nodes(call("PyOp", domain="ai.onnx.contrib")),
    "trees": with_nodes(call("TreeEnsembleClassifier", domain="ai.onnx.ml")),
    "contrib_with_a_sub_graph": with_nodes(call("BeamSearch", domain="com.microsoft")),
    "contrib_for_one_processor": with_nodes(call("Conv", domain="com.microsoft.nchwc")),
    "hidden_in_a_sub_graph": nested(4, call("Anything", domain="com.example")),
    "hidden_in_a_function": with_nodes(functions=[function(call("Anything", domain="com.example", of="a"))]),
    "function_in_place_of_a_standard_one": with_nodes(functions=[function(name="Relu", domain="")]),
    **{
        f"function_in_domain_{domain}": with_nodes(
            call("Scaler", domain=domain), functions=[function(name="Scaler", domain=domain)]
        )
        for domain in ("ai.onnx", "ai.onnx.ml", "ai.onnx.contrib", "com.microsoft.nchwc", "com.ms.internal.nhwc")
    },
    "functions_that_double_behind_small_overloads": doubling_calls(20, decoys=True),
    "two_functions_of_one_name": with_nodes(call("helper"), functions=[function(), function(call("helper", of="a"))]),
    "function_in_place_of_a_contrib_one": with_nodes(functions=[function(name="Gelu", domain="com.microsoft")]),
}

MISSHAPEN = {
    "two_inputs": changed(lambda m: m.graph.input.append(edge("mask"))),
    "no_input": changed(lambda m: m.graph.ClearField("input")),
    "no_output": changed(lambda m: m.graph.ClearField("output")),
    "text_for_input": changed(lambda m: m.graph.input[0].CopyFrom(edge("x", [1], TensorProto.STRING))),
    "sequence_for_input": changed(
        lambda m: m.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", FLOAT, [1]))
    ),
}


def in_both_formats() -> bytes:
    """ONNX to protobuf, with a producer of 79 letters in front; a file of its own format to onnxruntime."""
    head = bytes([0x08, 9, 0x92, 0x00]) + b"ORTM"
    return head + b" " * (ord("O") - 3) + doubling().SerializeToString()


UNREADABLE = {
    "onnxruntimes_own_format_as_well": in_both_formats(),
    "nothing": b"",
    "text": b"this is no graph",
    "truncated": doubling().SerializeToString()[:-1],
    **{
        f"{operator}_of_nothing": with_nodes(helper.make_node(operator, [], ["made"]))
        for operator in ("ConstantOfShape", "Expand", "Pad", "Range", "Resize", "Tile")
    },
    "no_graph": helper.make_model(GraphProto()).SerializeToString()[:2],
    "nested_beyond_protobuf": matryoshka(200),
    "nested_beyond_every_stack": matryoshka(20_000),
    "pickle": b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94",
}


# What a frozen model may hold and a corrector may not.


def loop(*, endless: bool = True) -> NodeProto:
    body = helper.make_graph(
        [helper.make_node("Identity", [a], [b]) for a, b in (("go", "go_on"), ("state", "next"))],
        "body",
        [edge("turn", [], TensorProto.INT64), edge("go", [], TensorProto.BOOL), edge("state", None)],
        [edge("go_on", [], TensorProto.BOOL), edge("next", None)],
    )
    return helper.make_node("Loop", ["" if endless else "times", "yes", "x"], ["looped"], name="loop", body=body)


def scan() -> NodeProto:
    body = helper.make_graph(
        [helper.make_node("Identity", ["row"], ["row_out"])], "body", [edge("row", None)], [edge("row_out", None)]
    )
    return helper.make_node("Scan", ["x"], ["scanned"], name="scan", num_scan_inputs=1, body=body)


BEYOND_CORRECTORS = {
    "loop": with_nodes(loop(), constants=[YES]),
    "if": nested(1),
    "scan": with_nodes(scan()),
    "contrib": with_nodes(call("Gelu", domain="com.microsoft")),
    "function": with_nodes(call("helper"), functions=[function()]),
    "function_that_nobody_calls": with_nodes(functions=[function()]),
    "randomness": making("RandomNormal", shape=[4]),
    "sequences": with_nodes(helper.make_node("SequenceConstruct", ["x"], ["several"])),
    "text": with_nodes(helper.make_node("StringNormalizer", ["x"], ["words"])),
    "six_hundred_nodes": with_nodes(*(helper.make_node("Relu", ["x"], [f"r{i}"]) for i in range(600))),
    "hundred_megabytes_made": making("ConstantOfShape", (100 << 20,)),
    "seventeen_megabytes": claiming(17 << 18, raw_data=bytes(17 << 20)),
    "integer_input": changed(lambda m: m.graph.input[0].CopyFrom(edge("x", [1], TensorProto.INT64))),
}
"""Graphs that satisfy the rules for a frozen model; most do not run, which is for the trial to find."""
