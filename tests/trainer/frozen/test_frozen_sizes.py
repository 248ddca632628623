"""What depends on the shape of the input alone is computed once a shape, and never when content decides a size."""

import numpy as np
import onnx
import pytest
import torch
from frozen_models import runtime_outputs
from onnx import parser

from trainer.frozen import load_frozen
from trainer.frozen.folding import fold
from trainer.frozen.graph import read_graph
from trainer.frozen.module import FrozenModel
from trainer.frozen.sizes import size_nodes

FLATTENED = """
    <ir_version: 8, opset_import: ["" : 17]>
    agraph (float[n, c, h, w] x) => (float[n, m] y)
    <int64 zero = {0}, int64[1] rest = {-1}, int64[1] first = {0}>
    {
        sizes = Shape(x)
        rows = Gather(sizes, zero)
        as_list = Unsqueeze(rows, first)
        wanted = Concat <axis = 0> (as_list, rest)
        flat = Reshape(x, wanted)
        y = Relu(flat)
    }
"""
DECIDED_BY_CONTENT = """
    <ir_version: 8, opset_import: ["" : 17]>
    agraph (float[4, 5] x) => (float[r, k] y)
    <int64[2] all = {0, 4}, int64[1] first = {0}, int64[1] one = {1}>
    {
        counts = ReduceSum <keepdims = 0> (x)
        whole = Cast <to = 7> (counts)
        end = Unsqueeze(whole, first)
        cut = Slice(x, first, end)
        sizes = Shape(cut)
        shape = Concat <axis = 0> (sizes)
        again = Expand(cut, shape)
        y = Relu(again)
    }
"""


MADE_BY_SHAPE = """
    <ir_version: 8, opset_import: ["" : 17]>
    agraph (float[n, m] x) => (float[n, m] y)
    {
        sizes = Shape(x)
        twos = ConstantOfShape <value = float[1] {2.0}> (sizes)
        y = Mul(x, twos)
    }
"""
MADE_BY_CONTENT = """
    <ir_version: 8, opset_import: ["" : 17]>
    agraph (float[4, 5] x) => (float[k] y)
    <int64[1] first = {0}>
    {
        count = ReduceSum <keepdims = 0> (x)
        whole = Cast <to = 7> (count)
        shape = Unsqueeze(whole, first)
        ones = ConstantOfShape <value = float[1] {1.0}> (shape)
        sizes = Shape(ones)
        real = Cast <to = 1> (sizes)
        y = Mul(ones, real)
    }
"""


def bytes_of(text: str) -> bytes:
    model = parser.parse_model(text)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def names_of_size_nodes(text: str) -> set[str]:
    graph = read_graph(bytes_of(text))
    return {node.outputs[0] for node in size_nodes(fold(graph).nodes, graph.input_name)}


def test_nodes_that_only_compute_sizes_are_told_from_those_that_compute() -> None:
    assert names_of_size_nodes(FLATTENED) == {"sizes", "rows", "as_list", "wanted"}


@pytest.mark.parametrize("text", [DECIDED_BY_CONTENT, MADE_BY_CONTENT], ids=["cut", "made"])
def test_no_size_is_kept_where_content_decides_one(text: str) -> None:
    assert names_of_size_nodes(text) == set()


@pytest.mark.parametrize("shapes", [[(2, 3, 4, 5), (2, 3, 4, 5), (1, 3, 4, 5), (2, 3, 4, 5), (2, 6, 2, 5)]])
def test_inputs_of_changing_shape_get_sizes_of_their_own(shapes) -> None:
    content = bytes_of(FLATTENED)
    model = load_frozen(content, parity_inputs=np.zeros(shapes[0], np.float32))

    for seed, shape in enumerate(shapes):
        x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)

        np.testing.assert_array_equal(runtime_outputs(content, x)[0], model(torch.from_numpy(x)).numpy())


def test_more_shapes_than_are_kept_do_no_harm() -> None:
    content = bytes_of(FLATTENED)
    model = load_frozen(content, parity_inputs=np.zeros((1, 1, 1, 1), np.float32))

    for rows in [*range(1, 40), *range(1, 40)]:
        x = torch.rand(rows, 1, 2, 2)

        assert torch.equal(x.flatten(1), model(x))


def test_a_gradient_flows_on_the_second_pass_as_on_the_first() -> None:
    model = load_frozen(bytes_of(FLATTENED), parity_inputs=np.zeros((2, 1, 2, 2), np.float32))

    for _ in range(2):
        x = torch.ones(2, 1, 2, 2, requires_grad=True)

        assert torch.equal(torch.ones_like(x), torch.autograd.grad(model(x).sum(), x)[0])


@pytest.mark.parametrize("text", [DECIDED_BY_CONTENT, MADE_BY_CONTENT], ids=["cut", "made"])
def test_content_that_decides_a_size_is_followed(text: str) -> None:
    content = bytes_of(text)
    picture = np.zeros((4, 5), np.float32)
    picture[0, 0] = 2.0
    model = load_frozen(content, parity_inputs=picture)

    for rows in (2.0, 3.0, 1.0):
        picture[0, 0] = rows

        expected = runtime_outputs(content, picture)[0]
        assert len(expected) == int(rows)
        np.testing.assert_array_equal(expected, model(torch.from_numpy(picture)).numpy())


def test_sizes_that_were_first_seen_in_inference_mode_do_no_harm_to_a_gradient() -> None:
    model = FrozenModel(read_graph(bytes_of(MADE_BY_SHAPE)))
    with torch.inference_mode():
        model(torch.ones(2, 3))
    x = torch.ones(2, 3, requires_grad=True)

    assert torch.equal(torch.full((2, 3), 2.0), torch.autograd.grad(model(x).sum(), x)[0])
