"""What is accepted, and what a loaded model promises."""

import numpy as np
import pytest
import torch
from frozen_models import build_model, residual_model, runtime_outputs, to_bytes
from onnx import TensorProto, helper

from trainer.frozen import (
    FrozenModel,
    InputMismatch,
    UnknownTap,
    load_frozen,
)


def _picture(n: int = 4) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, 3, 8, 8)).astype(np.float32)


def _residual() -> FrozenModel:
    return load_frozen(to_bytes(residual_model()), taps=("c1", "s2"))


def test_file_order_of_nodes_does_not_matter() -> None:
    model = residual_model()
    expected = runtime_outputs(to_bytes(model), _picture())[0]
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))

    got = load_frozen(to_bytes(model))(torch.from_numpy(_picture()))

    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_weights_listed_as_inputs_are_still_weights() -> None:
    model = residual_model()
    model.graph.input.extend(
        helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in model.graph.initializer
    )

    assert load_frozen(to_bytes(model)).input_name == "x"


def test_bytes_are_left_alone_and_reading_is_repeatable() -> None:
    model_bytes = to_bytes(residual_model())
    x = torch.from_numpy(_picture())

    first, second = load_frozen(model_bytes)(x), load_frozen(model_bytes)(x)

    assert torch.equal(first, second)


def test_train_mode_changes_nothing() -> None:
    model, x = _residual(), torch.from_numpy(_picture())
    before = model(x)

    outer = torch.nn.Sequential(model).train()

    assert not model.training
    assert torch.equal(outer(x), before)


def test_only_the_input_gets_a_gradient() -> None:
    model, x = _residual(), torch.from_numpy(_picture()).requires_grad_()

    model(x).square().sum().backward()

    assert x.grad is not None
    assert x.grad.abs().min() > 0
    assert not list(model.parameters())
    assert not any(buffer.requires_grad for buffer in model.buffers())


def test_module_follows_a_change_of_type() -> None:
    model = _residual().double()

    assert model(torch.from_numpy(_picture()).double()).dtype == torch.float64


def test_module_follows_to_another_device_and_shapes_stay_on_the_cpu() -> None:
    # "meta" stands for a GPU: reading a size from it would fail here, where on a GPU it would only be slow.
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Div", ["sizes", "two"], ["ends"]),
        helper.make_node("Slice", ["x", "starts", "ends"], ["quarter"]),
        helper.make_node("Gather", ["quarter", "picks"], ["picked"], axis=2),
        helper.make_node("Cast", ["ends"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["scales"]),
        helper.make_node("Mul", ["picked", "scales"], ["y"]),
    ]
    weights = {
        "two": np.array(2),
        "starts": np.zeros(4, np.int64),
        "picks": np.array([-1, 0]),
        "scale": np.ones(4, np.float32),
    }
    model = load_frozen(to_bytes(build_model(nodes, shape=("n", 3, 8, 8), initializers=weights)))

    moved = model.to("meta")(torch.zeros(6, 3, 8, 8, device="meta"))

    assert moved.device.type == "meta"
    assert moved.shape == (3, 1, 2, 4)


@pytest.mark.parametrize("shape", [(2, 3, 8, 9), (3, 8, 8), (2, 1, 8, 8)], ids=str)
def test_batch_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputMismatch, match=r"'x' got shape .* declares \(None, 3, 8, 8\)"):
        _residual()(torch.zeros(shape))


def test_failing_node_is_named() -> None:
    model = build_model(
        [helper.make_node("Reshape", ["x", "s"], ["y"], name="suspect")],
        shape=("n", 4),
        initializers={"s": np.array([3, 4])},
    )

    frozen = load_frozen(to_bytes(model))
    with pytest.raises(RuntimeError) as caught:
        frozen(torch.zeros(5, 4))

    assert "node 'suspect' (Reshape" in caught.value.__notes__[0]


def test_unknown_tap_is_refused_when_loading() -> None:
    with pytest.raises(UnknownTap, match=r"\['layer4'\] are made by no node"):
        load_frozen(to_bytes(residual_model()), taps=["c1", "layer4"])


def test_undeclared_tap_is_refused_when_asked_for() -> None:
    with pytest.raises(UnknownTap, match=r"load it with taps=\['r1'\]"):
        _residual().taps_only(torch.from_numpy(_picture()), ["r1"])
