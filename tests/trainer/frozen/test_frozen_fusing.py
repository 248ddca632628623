"""What exporters spell out is computed at once, as onnxruntime does it, and only where nobody looks inside."""

import math

import numpy as np
import onnx
import pytest
import torch
from frozen_models import build_model, runtime_outputs, to_bytes
from onnx import helper

from trainer.frozen import load_frozen
from trainer.frozen.folding import fold
from trainer.frozen.fusing import fuse
from trainer.frozen.graph import read_graph

NUMBERS = {
    "root": np.float32(math.sqrt(2)),
    "inverse": np.float32(math.sqrt(0.5)),
    "one": np.float32(1),
    "half": np.float32(0.5),
    "third": np.array([1 / 3], np.float32),
}


def _node(operator: str, *operands: str, to: str) -> onnx.NodeProto:
    return helper.make_node(operator, operands, [to])


QUOTIENT = (
    _node("Div", "x", "root", to="scaled"),
    _node("Erf", "scaled", to="erf"),
    _node("Add", "erf", "one", to="s"),
)
PRODUCT = (
    _node("Mul", "inverse", "x", to="scaled"),
    _node("Erf", "scaled", to="erf"),
    _node("Add", "one", "erf", to="s"),
)

GELUS = {
    "halved last": (*QUOTIENT, _node("Mul", "x", "s", to="p"), _node("Mul", "p", "half", to="y")),
    "halved before x": (*QUOTIENT, _node("Mul", "half", "s", to="p"), _node("Mul", "x", "p", to="y")),
    "x halved": (*PRODUCT, _node("Mul", "x", "half", to="h"), _node("Mul", "h", "s", to="y")),
    "x halved first": (_node("Mul", "half", "x", to="h"), *PRODUCT, _node("Mul", "s", "h", to="y")),
}

NEARLY_GELUS = {
    "another scale": (
        _node("Div", "x", "one", to="scaled"),
        *QUOTIENT[1:],
        _node("Mul", "x", "s", to="p"),
        _node("Mul", "p", "half", to="y"),
    ),
    "root over x": (
        _node("Div", "root", "x", to="scaled"),
        *QUOTIENT[1:],
        _node("Mul", "x", "s", to="p"),
        _node("Mul", "p", "half", to="y"),
    ),
    "another factor": (*QUOTIENT, _node("Mul", "x", "s", to="p"), _node("Mul", "p", "third", to="y")),
    "another shift": (
        *QUOTIENT[:2],
        _node("Add", "erf", "half", to="s"),
        _node("Mul", "x", "s", to="p"),
        _node("Mul", "p", "half", to="y"),
    ),
    "another x": (*QUOTIENT, _node("Mul", "scaled", "s", to="p"), _node("Mul", "p", "half", to="y")),
    "x twice": (*QUOTIENT, _node("Mul", "x", "s", to="p"), _node("Mul", "p", "x", to="y")),
    "sum read elsewhere": (*QUOTIENT, _node("Mul", "s", "s", to="p"), _node("Mul", "p", "half", to="y")),
    "never halved": (*QUOTIENT, _node("Mul", "x", "s", to="y")),
}


def _operators(model: onnx.ModelProto, keep: tuple[str, ...] = ()) -> list[str]:
    graph = read_graph(to_bytes(model))
    folded = fold(graph)
    return [node.operator for node in fuse(folded.nodes, folded.constants, {*graph.outputs, *keep}).nodes]


def _agrees(model: onnx.ModelProto, x: np.ndarray, taps: tuple[str, ...] = ()) -> None:
    frozen = load_frozen(to_bytes(model), taps=taps, parity_inputs=x)

    # Another order of a few float32 operations.
    np.testing.assert_allclose(frozen(torch.from_numpy(x)).numpy(), runtime_outputs(to_bytes(model), x)[0], 1e-5, 1e-6)


def _pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape, np.float32) * 2 + 1


@pytest.mark.parametrize("nodes", GELUS.values(), ids=GELUS.keys())
def test_gelu_is_one_node_whatever_the_order_of_its_factors(nodes: tuple[onnx.NodeProto, ...]) -> None:
    model = build_model(nodes, shape=("n", 6), initializers=NUMBERS)

    assert _operators(model) == ["Gelu"]
    _agrees(model, _pictures(5, 6))


@pytest.mark.parametrize("nodes", NEARLY_GELUS.values(), ids=NEARLY_GELUS.keys())
def test_what_only_looks_like_a_gelu_stays_as_it_is(nodes: tuple[onnx.NodeProto, ...]) -> None:
    model = build_model(nodes, shape=("n", 6), initializers=NUMBERS)

    assert _operators(model) == [node.op_type for node in nodes]
    _agrees(model, _pictures(5, 6))


@pytest.mark.parametrize("inside", ["scaled", "erf", "s", "p"])
def test_a_tensor_that_is_asked_for_keeps_its_group_apart(inside: str) -> None:
    model = build_model(GELUS["halved last"], shape=("n", 6), initializers=NUMBERS)

    assert "Gelu" not in _operators(model, keep=(inside,))
    _agrees(model, _pictures(5, 6), taps=(inside,))


def _linear(bias: np.ndarray, *, flipped: bool = False, tail: tuple[onnx.NodeProto, ...] = ()) -> onnx.ModelProto:
    operands = ("b", "xw") if flipped else ("xw", "b")
    nodes = [_node("MatMul", "x", "w", to="xw"), _node("Add", *operands, to="t" if tail else "y"), *tail]
    return build_model(nodes, shape=("n", 3, 6), initializers={"w": _pictures(6, 4), "b": bias})


@pytest.mark.parametrize("flipped", [False, True])
def test_product_and_bias_are_one_linear_layer(flipped: bool) -> None:
    model = _linear(_pictures(4), flipped=flipped)

    assert _operators(model) == ["Linear"]
    _agrees(model, _pictures(2, 3, 6))


@pytest.mark.parametrize(
    "bias", [_pictures(1), _pictures(3, 4), _pictures(1, 1, 1, 4)], ids=["one number", "rows", "more axes"]
)
def test_what_is_no_bias_of_the_columns_is_added_as_it_stands(bias: np.ndarray) -> None:
    model = _linear(bias)

    assert _operators(model) == ["MatMul", "Add"]
    _agrees(model, _pictures(2, 3, 6))


def test_a_product_that_someone_else_reads_is_still_made() -> None:
    model = _linear(_pictures(4), tail=(_node("Mul", "t", "xw", to="y"),))

    assert _operators(model) == ["MatMul", "Add", "Mul"]
    _agrees(model, _pictures(2, 3, 6))


def test_the_gradient_of_a_group_is_that_of_its_nodes() -> None:
    model = to_bytes(build_model(GELUS["halved last"], shape=("n", 6), initializers=NUMBERS))
    x = torch.from_numpy(_pictures(5, 6))
    # A tap inside keeps the second reading's nodes apart.
    gradients = []
    for taps in ((), ("erf",)):
        leaf = x.clone().requires_grad_()
        load_frozen(model, taps=taps)(leaf).square().sum().backward()
        gradients.append(leaf.grad)

    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-6)
