"""Convolutions and pools with drawn windows: whatever onnxruntime accepts, this reading computes the same."""

from typing import Any

import numpy as np
import torch
from frozen_models import build_model, runtime_outputs, to_bytes
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from trainer.frozen.graph import read_graph
from trainer.frozen.module import FrozenModel

SIZES = (7, 6)


@st.composite
def window_attributes(draw: st.DrawFn, ceils: bool) -> dict[str, Any]:
    """Attributes of one window over two axes that fits into the picture and is wider than its padding."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, strides, dilations = draw(pair), draw(pair), draw(pair)
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "dilations": dilations}
    if draw(st.booleans()):
        attributes["pads"] = [draw(st.integers(0, size - 1)) for size in (*kernel, *kernel)]
    else:
        attributes["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        # onnxruntime has no dilated SAME convolution, places dilated SAME pools by the undilated kernel, and refuses
        # SAME pools whose stride skips pixels because it works out a negative padding.
        same = attributes["auto_pad"] != "VALID"
        assume(not same or (dilations == (1, 1) and all(s <= k for s, k in zip(strides, kernel, strict=True))))
    if ceils:
        attributes["ceil_mode"] = draw(st.integers(0, 1))
    assume(all((k - 1) * d + 1 <= size for k, d, size in zip(kernel, dilations, SIZES, strict=True)))
    return attributes


def _check(operator: str, inputs: list[str], weights: dict[str, np.ndarray], attributes: dict[str, Any]) -> None:
    node = helper.make_node(operator, inputs, ["y"], **attributes)
    model = to_bytes(build_model([node], shape=(2, 2, *SIZES), initializers=weights, opset=22))
    x = np.random.default_rng(11).standard_normal((2, 2, *SIZES)).astype(np.float32)
    expected = runtime_outputs(model, x)[0]

    got = FrozenModel(read_graph(model))(torch.from_numpy(x)).numpy()

    # At most 18 products of numbers of size 1, summed in any order.
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(window_attributes(ceils=False))
def test_any_convolution_agrees_with_onnxruntime(attributes: dict[str, Any]) -> None:
    weight = np.random.default_rng(2).standard_normal((3, 2, *attributes["kernel_shape"])).astype(np.float32)

    _check("Conv", ["x", "w"], {"w": weight}, attributes)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(window_attributes(ceils=True))
def test_any_max_pool_agrees_with_onnxruntime(attributes: dict[str, Any]) -> None:
    _check("MaxPool", ["x"], {}, attributes)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(window_attributes(ceils=True), st.integers(0, 1))
def test_any_average_pool_agrees_with_onnxruntime(attributes: dict[str, Any], counts_pads: int) -> None:
    _check("AveragePool", ["x"], {}, {**attributes, "count_include_pad": counts_pads})
