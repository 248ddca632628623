"""Which tensors are tapped, what they hold, and what stopping early leaves out."""

import numpy as np
import onnx
import pytest
import torch
from frozen_models import build_model, residual_model, runtime_outputs, to_bytes
from onnx import helper, numpy_helper

from trainer.frozen import FrozenModel, batchnorm_statistics, find_taps, load_frozen

TAPS = ("c1", "s2")


@pytest.fixture(scope="module")
def model() -> FrozenModel:
    return load_frozen(to_bytes(residual_model()), taps=TAPS)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((6, 3, 8, 8)).astype(np.float32)


def _weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_default_taps_are_the_inputs_of_the_normalizations() -> None:
    assert find_taps(to_bytes(residual_model())) == TAPS


def test_convolution_without_normalization_is_tapped_raw() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Add", ["c", "b"], ["s"]),
        helper.make_node("Relu", ["s"], ["y"]),
    ]
    weights = {"w": np.ones((2, 3, 1, 1), np.float32), "b": np.ones((2, 1, 1), np.float32)}
    model_bytes = to_bytes(build_model(nodes, shape=("n", 3, 4, 4), initializers=weights))

    assert find_taps(model_bytes) == ("c",)
    assert batchnorm_statistics(model_bytes) == {}


def test_a_sum_that_a_normalization_reads_is_a_tap_of_its_own() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c1"]),
        helper.make_node("Conv", ["x", "w"], ["c2"]),
        helper.make_node("Add", ["c1", "c2"], ["s"]),
        helper.make_node("BatchNormalization", ["s", "one", "one", "one", "one"], ["y"]),
    ]
    weights = {"w": np.ones((2, 3, 1, 1), np.float32), "one": np.ones(2, np.float32)}

    assert find_taps(to_bytes(build_model(nodes, shape=("n", 3, 4, 4), initializers=weights))) == ("c1", "c2", "s")


def test_convolution_over_one_axis_is_no_tap() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    model = build_model(nodes, shape=("n", 3, 8), initializers={"w": np.ones((2, 3, 2), np.float32)})

    assert find_taps(to_bytes(model)) == ()


def test_statistics_are_those_of_the_normalization_behind_the_tap() -> None:
    model = residual_model()
    stored = _weights(model)

    statistics = batchnorm_statistics(to_bytes(model))

    assert tuple(statistics) == TAPS
    for tap, norm in zip(TAPS, ("n1", "n2"), strict=True):
        mean, var = statistics[tap]
        assert mean.dtype == var.dtype == np.float64
        np.testing.assert_array_equal(mean, stored[f"{norm}.mean"].astype(np.float64))
        np.testing.assert_array_equal(var, stored[f"{norm}.var"].astype(np.float64))


def test_statistics_behind_an_identity_or_a_constant_node_are_found() -> None:
    model = residual_model()
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    model.graph.node.insert(0, helper.make_node("Constant", [], ["shared"], value=tensors["n1.mean"]))
    model.graph.node.insert(1, helper.make_node("Identity", ["shared"], ["again"]))
    norm = next(node for node in model.graph.node if node.op_type == "BatchNormalization")
    norm.input[3] = "again"

    mean, _ = batchnorm_statistics(to_bytes(model))["c1"]

    np.testing.assert_array_equal(mean, numpy_helper.to_array(tensors["n1.mean"]).astype(np.float64))


def test_taps_hold_what_onnxruntime_holds(model: FrozenModel, x: np.ndarray) -> None:
    tapped = residual_model()
    tapped.graph.output.extend(onnx.ValueInfoProto(name=tap) for tap in TAPS)
    expected = dict(zip(("y", *TAPS), runtime_outputs(to_bytes(tapped), x), strict=True))

    outputs, taps = model.forward_with_taps(torch.from_numpy(x))

    assert (tuple(outputs), tuple(taps)) == (("y",), TAPS)
    for name, value in (outputs | taps).items():
        # Sums of 36 products of size 1, in any order.
        np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("names", [("c1",), ("s2",), ("s2", "c1"), ()], ids=str)
def test_stopping_early_changes_no_value(model: FrozenModel, x: np.ndarray, names: tuple[str, ...]) -> None:
    whole = model.forward_with_taps(torch.from_numpy(x))[1]

    early = model.taps_only(torch.from_numpy(x), names)

    assert tuple(early) == names
    assert all(torch.equal(early[name], whole[name]) for name in names)


def test_stopping_early_computes_only_what_the_taps_need() -> None:
    # The rest of the network would refuse this batch: stopping early is seen by its not failing.
    probe = load_frozen(_with_fixed_tail(), taps=("c1",))
    x = torch.zeros(5, 3, 8, 8)

    with pytest.raises(RuntimeError, match="shape"):
        probe(x)
    assert probe.taps_only(x, ["c1"])["c1"].shape == (5, 4, 8, 8)


def _with_fixed_tail() -> bytes:
    """The residual model with a Flatten that only holds for the three rows of the parity check."""
    model = residual_model()
    flatten = next(node for node in model.graph.node if node.op_type == "Flatten")
    flatten.CopyFrom(helper.make_node("Reshape", ["pooled", "rows"], ["flat"], name="flatten"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([3, 4]), "rows"))
    return to_bytes(model)


def test_gradient_reaches_the_input_through_a_tap(model: FrozenModel, x: np.ndarray) -> None:
    batch = torch.from_numpy(x).requires_grad_()

    model.taps_only(batch, ["c1"])["c1"].square().mean().backward()

    assert batch.grad is not None
    assert batch.grad.abs().max() > 0
