"""The rules for graphs from outside let through what is honest: every type of tensor, and what our own stages write."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from service.contract.errors import DamagedTensor, ForeignOperator, GraphTooLarge
from service.contract.graph_rules import CORRECTOR, FROZEN_MODEL, check_graph
from service.contract.graph_sizes import BITS, check_stored
from trainer.frame import Frame
from trainer.onnx_writer import GraphWriter
from trainer.stages import Stage
from trainer.stages.deconvolution import Deconvolution
from trainer.stages.filter import Filter
from trainer.stages.reconstruction import Reconstruction
from trainer.stages.residual import Residual
from trainer.stages.tone import Tone
from trainer.stages.warp import Warp

MODELS = Path(__file__).parents[2] / "models"


def stored(kind: int, count: int, *, raw: bool) -> TensorProto:
    """`count` ones of a type, as onnx itself writes them."""
    values = np.ones(count, helper.tensor_dtype_to_np_dtype(kind))
    if raw:
        return numpy_helper.from_array(values, "ones")
    return helper.make_tensor("ones", kind, [count], values)


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "in_fields"])
@pytest.mark.parametrize("kind", sorted(BITS), ids=lambda kind: TensorProto.DataType.Name(kind))
def test_a_tensor_that_onnx_wrote_is_whole_and_one_with_another_shape_is_not(kind: int, raw: bool) -> None:
    tensor = stored(kind, 9, raw=raw)
    check_stored(tensor, "a test", 1 << 20)

    # Five more: also where four share a byte that is more than the last byte has room for.
    tensor.dims[0] = 14
    with pytest.raises(DamagedTensor, match="'ones' in a test declares shape"):
        check_stored(tensor, "a test", 1 << 20)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1)], ids=str)
def test_scalars_and_empty_tensors_are_whole(shape: tuple[int, ...]) -> None:
    check_stored(numpy_helper.from_array(np.ones(shape, np.float32)), "a test", 1 << 20)


def test_text_is_counted_and_cannot_be_raw() -> None:
    words = helper.make_tensor("words", TensorProto.STRING, [2], [b"a", b"b"])
    check_stored(words, "a test", 100)

    words.raw_data = b"ab"
    with pytest.raises(DamagedTensor):
        check_stored(words, "a test", 100)


def test_a_tensor_may_fill_its_cap_and_no_more() -> None:
    tensor = numpy_helper.from_array(np.ones(8, np.float32))
    check_stored(tensor, "a test", 32)

    with pytest.raises(GraphTooLarge, match="32 bytes; at most 31"):
        check_stored(tensor, "a test", 31)


@pytest.mark.parametrize("opset", [15, 16, 17, 20])
@pytest.mark.parametrize("background", [None, (0.2,) * 3], ids=["edges", "background"])
@pytest.mark.parametrize("kind", [Warp, Filter, Tone, Deconvolution, Residual, Reconstruction])
def test_what_our_stages_write_satisfies_the_rules_for_correctors(
    kind: type[Stage], background: tuple[float, ...] | None, opset: int
) -> None:
    torch.manual_seed(0)
    stage = kind(Frame((3, 12, 10), background, (1.0,) * 3))
    graph = GraphWriter(opset)
    output = stage.write(graph, "image")

    check_graph(graph.to_bytes(inputs="image", output=output, shape=(3, 12, 10), metadata={}), CORRECTOR)


@pytest.mark.parametrize("file", sorted(MODELS.rglob("*.onnx")), ids=lambda file: file.parent.name)
def test_models_that_ship_satisfy_the_rules(file: Path) -> None:
    check_graph(file.read_bytes(), FROZEN_MODEL)


def model_of(*nodes: onnx.NodeProto, constants: dict[str, np.ndarray] | None = None, **parts: object) -> bytes:
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    stored_ones = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "g", sides[:1], sides[1:], stored_ones)
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", 18), ("com.microsoft", 1), ("own", 1))]
    return helper.make_model(graph, opset_imports=opsets, **parts).SerializeToString()


HONEST = {
    "an_operator_that_the_optimizer_writes": model_of(
        helper.make_node("FusedConv", ["x", "w"], ["y"], domain="com.microsoft", activation="Relu"),
        constants={"w": np.ones((1, 1, 3, 3), np.float32)},
    ),
    "an_operator_that_the_quantizer_writes": model_of(
        helper.make_node("QLinearAdd", ["x"] * 6, ["y"], domain="com.microsoft")
    ),
    "a_function_of_the_files_own": model_of(
        helper.make_node("twice", ["x"], ["y"], domain="own"),
        functions=[
            helper.make_function(
                "own",
                "twice",
                ["a"],
                ["b"],
                [helper.make_node("Add", ["a", "a"], ["b"])],
                [helper.make_opsetid("", 18)],
            )
        ],
    ),
    "functions_of_one_name_in_two_domains_that_look_taken": model_of(
        helper.make_node("Relu", ["x"], ["y"]),
        functions=[
            helper.make_function(
                domain, "Gelu", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 18)]
            )
            for domain in ("ai.onnxscript", "com.msr")
        ],
    ),
    "the_standard_domain_by_its_other_name": model_of(helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx")),
    "a_shape_that_is_expanded_by_minus_one": model_of(
        helper.make_node("Expand", ["x", "s"], ["y"]), constants={"s": np.array([-1, 2])}
    ),
    "a_range_that_runs_backwards": model_of(
        helper.make_node("Range", ["a", "b", "c"], ["r"]),
        helper.make_node("Relu", ["x"], ["y"]),
        constants={"a": np.array(5), "b": np.array(0), "c": np.array(-1)},
    ),
    "a_range_that_never_starts": model_of(
        helper.make_node("Range", ["a", "a", "c"], ["r"]),
        helper.make_node("Relu", ["x"], ["y"]),
        constants={"a": np.array(5), "c": np.array(0)},
    ),
    "padding_that_cuts": model_of(
        helper.make_node("Pad", ["x", "p"], ["y"]), constants={"p": np.array([0, 0, -2, -2, 0, 0, -2, -2])}
    ),
}


@pytest.mark.parametrize("content", HONEST.values(), ids=HONEST.keys())
def test_an_honest_frozen_model_is_let_through(content: bytes) -> None:
    check_graph(content, FROZEN_MODEL)


def test_initializers_that_an_old_file_lists_as_inputs_are_none() -> None:
    model = onnx.load_model_from_string(
        model_of(helper.make_node("Mul", ["x", "w"], ["y"]), constants={"w": np.ones(1, np.float32)})
    )
    model.ir_version = 3
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [1]))

    check_graph(model.SerializeToString(), FROZEN_MODEL)


@pytest.mark.parametrize("calls", [1, 7])
def test_a_function_counts_as_often_as_it_is_called(calls: int) -> None:
    body = [helper.make_node("Relu", ["a"], ["r"]), helper.make_node("Relu", ["r"], ["b"])]
    names = ["x", *(f"t{index}" for index in range(calls - 1)), "y"]
    nodes = [helper.make_node("two", [a], [b], domain="own") for a, b in pairwise(names)]
    function = helper.make_function("own", "two", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    content = model_of(*nodes, functions=[function])
    # As they stand: one node a call, and the two of the body once.
    most = max(2 * calls, calls + 2)

    check_graph(content, replace(FROZEN_MODEL, max_nodes=most))
    with pytest.raises(GraphTooLarge):
        check_graph(content, replace(FROZEN_MODEL, max_nodes=most - 1))


def test_a_foreign_operator_is_named_with_its_place_and_what_to_do() -> None:
    content = model_of(helper.make_node("Sharpen", ["x"], ["y"], name="edge", domain="com.example"))

    with pytest.raises(ForeignOperator, match=r"'edge' \(com\.example::Sharpen\) in the main graph .*export it with"):
        check_graph(content, FROZEN_MODEL)


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.FLOAT, TensorProto.DOUBLE], ids=["8", "32", "64"])
def test_what_a_node_makes_may_fill_its_cap_and_no_more(kind: int) -> None:
    one = helper.make_tensor("one", kind, [1], [1])
    content = model_of(
        helper.make_node("ConstantOfShape", ["s"], ["made"], value=one),
        helper.make_node("Relu", ["x"], ["y"]),
        constants={"s": np.array([1000])},
    )
    needed = 1000 * BITS[kind] // 8

    check_graph(content, replace(FROZEN_MODEL, max_tensor_bytes=needed))
    with pytest.raises(GraphTooLarge, match="what node 'made'"):
        check_graph(content, replace(FROZEN_MODEL, max_tensor_bytes=needed - 1))


def test_widths_agree_with_numpy() -> None:
    whole = {kind: bits for kind, bits in BITS.items() if bits >= 8}

    assert whole == {kind: helper.tensor_dtype_to_np_dtype(kind).itemsize * 8 for kind in whole}
    assert all(math.log2(bits).is_integer() for bits in BITS.values())
