"""The gradient of rounding operators: that of the same arithmetic on real numbers, zero where the result saturates."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from frozen_case import X
from frozen_quantized_case import MICROSOFT, Q, QuantizedCase, drawn, real, whole
from torch import Tensor
from torch.nn import functional

from trainer.frozen.graph import read_graph
from trainer.frozen.module import FrozenModel
from trainer.frozen.operators import entries
from trainer.frozen.operators.quantization import STRAIGHT_THROUGH

PICTURE = (2, 3, 5, 4)
TWIN = (Q, real(0.02), whole("uint8", 117))
WEIGHT, WEIGHT_SCALE = drawn("int8", 4, 3, 3, 3), real(0.01, 0.02, 0.005, 0.01)
FACTOR = drawn("int8", 4, 5)
OTHER = drawn("uint8", *PICTURE)
LARGE, SMALL = (real(1.0), whole("uint8", 100)), (real(0.05), whole("uint8", 100))
UNIT = (real(1 / 256), whole("uint8", 0))


def _real(weights: np.ndarray, scale: np.ndarray | float, zero: int = 0) -> Tensor:
    return torch.from_numpy((weights.astype(np.float32) - zero) * scale)


def _case(
    operator: str, *inputs: str | np.ndarray, domain: str = "", outputs: int = 1, **attributes: int
) -> QuantizedCase:
    return QuantizedCase(operator, "", PICTURE, inputs, attributes, domain=domain, outputs=outputs)


def _matrix_product(x: Tensor) -> Tensor:
    return x @ _real(FACTOR, 0.01)


GEMM = QuantizedCase("QGemm", "", (3, 4), (*TWIN, FACTOR, real(0.01), whole("int8", 0), "", *SMALL), domain=MICROSOFT)
ROUNDED: dict[str, tuple[QuantizedCase, tuple[np.ndarray, np.ndarray], Callable[[Tensor], Tensor]]] = {
    "QuantizeLinear": (_case("QuantizeLinear", X, *TWIN[1:]), TWIN[1:], lambda x: x),
    "QuantizeLinear-saturated": (_case("QuantizeLinear", X, real(0.01), TWIN[2]), (real(0.01), TWIN[2]), lambda x: x),
    "QuantizeLinear-microsoft": (_case("QuantizeLinear", X, *TWIN[1:], domain=MICROSOFT), TWIN[1:], lambda x: x),
    "QLinearConv": (
        _case("QLinearConv", *TWIN, WEIGHT, WEIGHT_SCALE, whole("int8", 0, 0, 0, 0), *LARGE),
        LARGE,
        lambda x: functional.conv2d(x, _real(WEIGHT, WEIGHT_SCALE.reshape(4, 1, 1, 1))),
    ),
    "QLinearConv-saturated": (
        _case("QLinearConv", *TWIN, WEIGHT, WEIGHT_SCALE, whole("int8", 0, 0, 0, 0), *SMALL),
        SMALL,
        lambda x: functional.conv2d(x, _real(WEIGHT, WEIGHT_SCALE.reshape(4, 1, 1, 1))),
    ),
    "QLinearMatMul": (
        _case("QLinearMatMul", *TWIN, FACTOR, real(0.01), whole("int8", 0), *SMALL),
        SMALL,
        _matrix_product,
    ),
    "QGemm": (GEMM, SMALL, _matrix_product),
    "QLinearAdd": (
        _case("QLinearAdd", *TWIN, OTHER, real(0.03), whole("uint8", 90), *SMALL, domain=MICROSOFT),
        SMALL,
        lambda x: x + _real(OTHER, 0.03, 90),
    ),
    "QLinearMul": (
        _case("QLinearMul", *TWIN, OTHER, real(0.03), whole("uint8", 90), *SMALL, domain=MICROSOFT),
        SMALL,
        lambda x: x * _real(OTHER, 0.03, 90),
    ),
    "QLinearSigmoid": (_case("QLinearSigmoid", *TWIN, *UNIT, domain=MICROSOFT), UNIT, torch.sigmoid),
    "QLinearSoftmax": (
        _case("QLinearSoftmax", *TWIN, *UNIT, domain=MICROSOFT, axis=1, opset=13),
        UNIT,
        lambda x: torch.softmax(x, dim=1),
    ),
    "QLinearLeakyRelu": (_case("QLinearLeakyRelu", *TWIN, *SMALL, domain=MICROSOFT), SMALL, functional.leaky_relu),
    "QLinearAveragePool": (
        QuantizedCase("QLinearAveragePool", "", PICTURE, (*TWIN, *SMALL), {"kernel_shape": [2, 3]}, domain=MICROSOFT),
        SMALL,
        lambda x: functional.avg_pool2d(x, (2, 3), stride=1),
    ),
    "QLinearGlobalAveragePool": (
        _case("QLinearGlobalAveragePool", *TWIN, *SMALL, domain=MICROSOFT),
        SMALL,
        lambda x: x.mean(dim=(2, 3), keepdim=True),
    ),
    "QLinearConcat": (
        _case("QLinearConcat", *SMALL, *TWIN, *TWIN, domain=MICROSOFT, axis=1),
        SMALL,
        lambda x: torch.cat([x, x], dim=1),
    ),
}
"""The case, the scale and zero point of its result, and its arithmetic on real numbers."""


def _gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    result = function(x)
    # Weights that differ from element to element: a misplaced gradient cannot cancel.
    (result * torch.linspace(0.5, 1.5, result.numel()).reshape(result.shape)).sum().backward()
    assert x.grad is not None
    return x.grad


@pytest.mark.parametrize(("case", "target", "arithmetic"), ROUNDED.values(), ids=ROUNDED.keys())
def test_gradient_is_that_of_real_arithmetic_where_nothing_saturates(
    case: QuantizedCase, target: tuple[np.ndarray, np.ndarray], arithmetic: Callable[[Tensor], Tensor]
) -> None:
    model = FrozenModel(read_graph(case.model(case.at_versions()[-1])))
    scale, zero = float(target[0]), int(target[1])
    x = torch.from_numpy(case.x())
    # On the grid of Q, so that both take the derivative at the same place.
    x = (x / 0.02).round() * 0.02

    expected = _gradient(lambda x: (arithmetic(x) / scale + zero).clamp(-0.5, 255.5), x)

    torch.testing.assert_close(_gradient(model, x), expected, rtol=1e-4, atol=1e-4)


def test_gradient_through_dynamic_quantization_and_back_is_one() -> None:
    model = FrozenModel(read_graph(_case("DynamicQuantizeLinear", X, outputs=3).model(11)))
    x = torch.from_numpy(np.random.default_rng(2).standard_normal(PICTURE).astype(np.float32))

    def there_and_back(x: Tensor) -> Tensor:
        outputs, _ = model.forward_with_taps(x)
        return (outputs["y"] - outputs["y2"]) * outputs["y1"]

    torch.testing.assert_close(_gradient(there_and_back, x), _gradient(lambda x: x, x))


def test_every_operator_that_is_marked_straight_through_is_tested_here() -> None:
    tested = {(case.domain, case.operator) for case, _, _ in ROUNDED.values()}

    assert tested | {("", "DynamicQuantizeLinear")} == STRAIGHT_THROUGH
    assert {key[:2] for key in entries()} >= STRAIGHT_THROUGH


@pytest.mark.parametrize("name", ["QLinearConv", "QLinearAdd", "QuantizeLinear"])
def test_rounding_has_the_same_gradient_row_by_row_under_vmap(name: str) -> None:
    case = ROUNDED[name][0]
    model = FrozenModel(read_graph(case.model(case.at_versions()[-1])))
    x = torch.from_numpy(np.random.default_rng(4).standard_normal((3, *PICTURE)).astype(np.float32))

    together = _gradient(torch.vmap(model), x)

    weights = torch.linspace(0.5, 1.5, torch.vmap(model)(x).numel()).reshape(3, -1)
    for row, weight, gradient in zip(x, weights, together, strict=True):
        alone = row.clone().requires_grad_()
        result = model(alone)
        (result * weight.reshape(result.shape)).sum().backward()
        assert alone.grad is not None
        torch.testing.assert_close(gradient, alone.grad)
