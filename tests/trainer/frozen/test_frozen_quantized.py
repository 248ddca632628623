"""Whole networks as onnxruntime's quantizer writes them: parity, taps and gradients."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from frozen_models import residual_model, to_bytes
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from trainer.frozen import ParityError, batchnorm_statistics, find_taps, load_frozen
from trainer.frozen.graph import Graph, read_graph
from trainer.frozen.module import FrozenModel
from trainer.frozen.nodewise import check_nodewise, rounds

DIGITS = Path(__file__).parents[3] / "models" / "digits" / "model.onnx"
QDQ, OPERATOR = QuantFormat.QDQ, QuantFormat.QOperator
UINT8, INT8, UINT16 = QuantType.QUInt8, QuantType.QInt8, QuantType.QUInt16
FORMATS: dict[str, dict[str, Any]] = {
    "qdq-unsigned": {"quant_format": QDQ, "activation_type": UINT8, "weight_type": UINT8},
    "qdq-mixed": {"quant_format": QDQ, "activation_type": UINT8, "weight_type": INT8},
    "qdq-per-channel": {"quant_format": QDQ, "activation_type": INT8, "weight_type": INT8, "per_channel": True},
    "qdq-symmetric": {
        "quant_format": QDQ,
        "activation_type": INT8,
        "weight_type": INT8,
        "extra_options": {"ActivationSymmetric": True},
    },
    "qdq-sixteen-bits": {"quant_format": QDQ, "activation_type": UINT16, "weight_type": INT8},
    "operators-unsigned": {"quant_format": OPERATOR, "activation_type": UINT8, "weight_type": UINT8},
    "operators-signed": {"quant_format": OPERATOR, "activation_type": INT8, "weight_type": INT8},
    "operators-per-channel": {
        "quant_format": OPERATOR,
        "activation_type": UINT8,
        "weight_type": INT8,
        "per_channel": True,
    },
}
DYNAMIC = "dynamic"
TOLERANCE = 5e-2
"""Two of 255 quanta and their traces: what a flipped tie in the middle may do at the end."""


def _pictures(*sizes: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(sizes).astype(np.float32)


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    """A few batches of noise."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self._batches: Iterator[dict[str, np.ndarray]] = iter([{name: _pictures(8, *shape, seed=s)} for s in range(3)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def _quantized(model: onnx.ModelProto, name: str, target: Path) -> bytes:
    """The model in one of the formats; weights of 7 bits, whose products overflow on no processor."""
    if name == DYNAMIC:
        quantize_dynamic(model, target, weight_type=UINT8)
        return target.read_bytes()
    entry = model.graph.input[0]
    shape = tuple(dim.dim_value for dim in entry.type.tensor_type.shape.dim[1:])
    quantize_static(model, target, _Pictures(entry.name, shape), reduce_range=True, **FORMATS[name])
    return target.read_bytes()


@pytest.fixture(scope="module", params=[*FORMATS, DYNAMIC])
def quantized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _quantized(residual_model(), request.param, tmp_path_factory.mktemp("quantized") / "model.onnx")


def test_every_node_agrees_with_onnxruntime(quantized: bytes) -> None:
    graph = read_graph(quantized)

    assert rounds(graph)
    check_nodewise(graph, quantized, _pictures(16, 3, 8, 8), 1e-5)


def test_outputs_and_taps_agree_with_what_onnxruntime_serves(quantized: bytes) -> None:
    load_frozen(quantized, taps=find_taps(quantized), parity_inputs=_pictures(16, 3, 8, 8), tolerance=TOLERANCE)


def test_gradient_points_where_that_of_the_real_network_does(quantized: bytes) -> None:
    real = FrozenModel(read_graph(to_bytes(residual_model())))
    x = torch.from_numpy(_pictures(8, 3, 8, 8))

    wanted, got = (_gradient(model, x) for model in (real, FrozenModel(read_graph(quantized))))

    # Weights of 7 bits and activations beyond the calibrated range move some of the eight pictures' units to the other
    # side of their ReLU; a sign or a scale that is forgotten anywhere changes much more.
    assert torch.cosine_similarity(wanted.flatten(), got.flatten(), dim=0) > 0.8
    assert 0.8 < got.norm() / wanted.norm() < 1.25


def _gradient(model: FrozenModel, x: torch.Tensor) -> torch.Tensor:
    x = x.clone().requires_grad_()
    (model(x) * torch.tensor([1.0, -1.0, 2.0, 0.5, -0.5])).sum().backward()
    assert x.grad is not None
    return x.grad


def test_what_the_normalisations_of_the_quantized_demo_model_read_are_its_taps(tmp_path: Path) -> None:
    model = onnx.load_model(DIGITS)

    quantized = _quantized(model, "qdq-per-channel", tmp_path / "model.onnx")

    taps = find_taps(quantized)
    kept, real = batchnorm_statistics(quantized), batchnorm_statistics(DIGITS.read_bytes())
    assert tuple(kept) == taps
    for (mean, var), (real_mean, real_var) in zip(kept.values(), real.values(), strict=True):
        # The quantizer rounds them, too: to 255 steps over the range of all channels.
        assert np.abs(mean - real_mean).max() <= np.ptp(real_mean) / 100
        assert np.abs(var - real_var).max() <= np.ptp(real_var) / 100
    load_frozen(quantized, taps=taps, tolerance=TOLERANCE)
    check_nodewise(read_graph(quantized), quantized, _pictures(4, 1, 28, 28), 1e-5)


def _change_weight(graph: Graph) -> None:
    graph.initializers["w1_quantized"].flat[0] ^= 64


def _change_scale(graph: Graph) -> None:
    graph.initializers["c1_scale"][...] *= 1.1


def _change_zero_point(graph: Graph) -> None:
    graph.initializers["c1_zero_point"][...] += 2


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_change_weight, "tensor 'c1' differs"),
        (_change_scale, "tensor 'c1_QuantizeLinear_Output' differs.*quantized elements differ"),
        (_change_zero_point, "tensor 'c1_QuantizeLinear_Output' differs.*by up to 2 quanta"),
    ],
)
def test_node_that_differs_is_named(damage: Callable[[Graph], None], words: str, tmp_path: Path) -> None:
    model_bytes = _quantized(residual_model(), "qdq-mixed", tmp_path / "model.onnx")
    graph = read_graph(model_bytes)
    damage(graph)

    with pytest.raises(ParityError, match=words):
        check_nodewise(graph, model_bytes, _pictures(3, 3, 8, 8), 1e-5)


def test_model_that_does_not_round_agrees_node_by_node_too() -> None:
    model_bytes = to_bytes(residual_model())
    graph = read_graph(model_bytes)

    assert not rounds(graph)
    check_nodewise(graph, model_bytes, _pictures(3, 3, 8, 8), 1e-5)
