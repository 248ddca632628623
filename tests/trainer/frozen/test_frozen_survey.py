"""A survey tells everything at once that loading would stop at, and tells loading's own truth."""

from collections import Counter

import numpy as np
import onnx
import pytest
from frozen_models import build_model, residual_model, to_bytes
from onnx import TensorProto, helper

from trainer.frozen import (
    FrozenError,
    UnsupportedModel,
    UnsupportedOperator,
    find_taps,
    load_frozen,
    survey_operators,
    survey_parity,
)


def _uses(model: onnx.ModelProto) -> dict[str, object]:
    return {use.operator: use for use in survey_operators(to_bytes(model)).uses}


def _gradients(*nodes: onnx.NodeProto, output: str = "y", weights: dict[str, np.ndarray] | None = None):
    model = build_model(nodes, shape=("n", 3, 4, 4), outputs=(output,), initializers=weights)
    return {name: use.gradient for name, use in _uses(model).items()}


def _damaged_twice() -> onnx.ModelProto:
    """An operator that nobody knows, one that is known and asked for too much, and a third of a foreign domain."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="fine"),
        helper.make_node("Hermite", ["a"], ["b"], name="first"),
        helper.make_node("Conv", ["b", "w"], ["c"], name="second", auto_pad="SIDEWAYS"),
        helper.make_node("Conv", ["c", "w"], ["d"], name="good", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["d"], ["e"], name="third", domain="somewhere"),
        helper.make_node("Identity", ["e"], ["y"], name="last"),
    ]
    weights = {"w": np.ones((3, 3, 3, 3), np.float32)}
    return build_model(nodes, shape=("n", 3, 4, 4), initializers=weights)


def test_every_node_of_the_file_is_counted_once() -> None:
    model = residual_model()

    counts = {name: use.nodes for name, use in _uses(model).items()}

    assert Counter(node.op_type for node in model.graph.node) == counts


def test_versions_are_those_of_the_schemas_at_the_opset() -> None:
    uses = _uses(residual_model())

    expected = {name: onnx.defs.get_schema(name, 17).since_version for name in uses}
    assert expected == {name: use.version for name, use in uses.items()}


def test_all_nodes_that_are_refused_are_named() -> None:
    survey = survey_operators(to_bytes(_damaged_twice()))

    assert ["first", "second", "third"] == [refusal.node for refusal in survey.refusals]
    assert ["Hermite", "Conv", "somewhere::Relu"] == [refusal.operator for refusal in survey.refusals]


def test_the_first_refusal_is_the_one_that_loading_raises() -> None:
    content = to_bytes(_damaged_twice())

    with pytest.raises(UnsupportedOperator) as raised:
        load_frozen(content)
    first = survey_operators(content).refusals[0]
    assert all(word in str(raised.value) for word in (first.node, first.operator, first.reason))


def test_an_operator_with_some_refused_nodes_says_how_many() -> None:
    uses = _uses(_damaged_twice())

    assert (2, 1, "none") == (uses["Conv"].nodes, uses["Conv"].refused, uses["Conv"].gradient)
    assert 0 == uses["Relu"].refused


def test_shapes_and_stored_numbers_carry_no_gradient() -> None:
    found = _gradients(
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"], axis=0),
        helper.make_node("Sqrt", ["w"], ["root"]),
        helper.make_node("Mul", ["x", "root"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Sub", ["whole", "one"], ["less"]),
        helper.make_node("Greater", ["scaled", "w"], ["mask"]),
        helper.make_node("Where", ["mask", "scaled", "w"], ["y"]),
        weights={"zero": np.array([0]), "one": np.array(1), "w": np.ones(1, np.float32)},
    )

    blocked = {"Shape", "Gather", "Sqrt", "Cast", "Sub", "Greater"}
    assert {**dict.fromkeys(blocked, "none"), "Mul": "exact", "Where": "exact"} == found


def test_quantization_is_marked_straight_through_and_the_gradient_goes_on_behind_it() -> None:
    found = _gradients(
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Relu", ["d"], ["y"]),
        weights={"s": np.array(0.1, np.float32), "z": np.array(3, np.int8)},
    )

    assert {"QuantizeLinear": "straight-through", "DequantizeLinear": "exact", "Relu": "exact"} == found


def test_integer_arithmetic_on_quanta_carries_the_gradient_of_their_values() -> None:
    found = _gradients(
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("ConvInteger", ["q", "w", "z"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["y"], to=TensorProto.FLOAT),
        weights={"w": np.ones((2, 3, 1, 1), np.int8)},
    )

    assert {"DynamicQuantizeLinear": "straight-through", "ConvInteger": "exact", "Cast": "exact"} == found


def test_parity_gives_every_tap_and_output_a_number_below_the_tolerance_of_loading() -> None:
    content = to_bytes(residual_model())
    inputs = np.random.default_rng(0).random((2, 3, 8, 8), dtype=np.float32)

    found = survey_parity(content, taps=find_taps(content), inputs=inputs)

    assert {"c1", "s2", "y"} == found.errors.keys()
    assert all(0 <= error <= found.tolerance for error in found.errors.values())


def test_a_file_that_rounds_is_compared_node_by_node_and_by_its_root_mean_square() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Conv", ["d", "w"], ["y"]),
    ]
    weights = {"s": np.array(0.1, np.float32), "z": np.array(3, np.int8), "w": np.ones((2, 3, 1, 1), np.float32)}
    content = to_bytes(build_model(nodes, shape=("n", 3, 4, 4), initializers=weights))
    inputs = np.random.default_rng(0).random((2, 3, 4, 4), dtype=np.float32)

    rounding, plain = (
        survey_parity(each, taps=find_taps(each), inputs=batch)
        for each, batch in ((content, inputs), (to_bytes(residual_model()), inputs.repeat(2, axis=2).repeat(2, axis=3)))
    )

    assert (True, None) == (rounding.rounds, rounding.nodewise)
    assert (False, None) == (plain.rounds, plain.nodewise)
    assert rounding.errors["y"] < plain.tolerance < rounding.tolerance


def test_a_file_that_is_no_model_is_refused_as_a_whole() -> None:
    with pytest.raises(UnsupportedModel):
        survey_operators(b"no model")


def test_parity_needs_operators_that_can_be_computed() -> None:
    with pytest.raises(FrozenError):
        survey_parity(to_bytes(_damaged_twice()), taps=(), inputs=np.zeros((1, 3, 4, 4), np.float32))
