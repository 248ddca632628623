"""Requests of known operators that are not computed: each is refused when the file is read, with what to do."""

from typing import Any

import numpy as np
import pytest
import torch
from frozen_models import build_model, to_bytes
from onnx import TensorProto, helper

from trainer.frozen import UnsupportedOperator
from trainer.frozen.graph import read_graph
from trainer.frozen.module import FrozenModel

MICROSOFT = "com.microsoft"
OPSET = 23
LEFT_OUT = ""


def _model(operator: str, *more_inputs: str, domain: str = "", opset: int = OPSET, **attributes: Any) -> bytes:
    node = helper.make_node(operator, ["x", *more_inputs], ["y"], name="suspect", domain=domain, **attributes)
    weights = {name: np.ones(3, np.float32) for name in more_inputs if name}
    model = build_model([node], shape=("n", 3, 4, 4), initializers=weights, opset=opset)
    model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return to_bytes(model)


BINARY = ("a", "b", "c", "d", "e", "f")
REFUSED = {
    "quantize-to-four-bits": (_model("QuantizeLinear", "s", output_dtype=TensorProto.INT4), "output_dtype is 22"),
    "quantize-in-half-precision": (_model("QuantizeLinear", "s", precision=TensorProto.FLOAT16), "precision is 10"),
    "dequantize-to-bfloat16": (
        _model("DequantizeLinear", "s", output_dtype=TensorProto.BFLOAT16),
        "output_dtype is 16",
    ),
    "sum-without-zero-point": (
        _model("QLinearAdd", *BINARY, domain=MICROSOFT),
        "input 7, the zero point of the result",
    ),
    "sum-with-zero-point-left-out": (_model("QLinearMul", *BINARY, LEFT_OUT, domain=MICROSOFT), "the zero point"),
    "channels-last-pool": (
        _model("QLinearGlobalAveragePool", "a", "b", "c", "d", domain=MICROSOFT, channels_last=1),
        "channels_last is 1",
    ),
    "crop": (_model("Resize", "r", "s", coordinate_transformation_mode="tf_crop_and_resize"), "tf_crop_and_resize"),
    "antialias": (_model("Resize", "r", "s", antialias=1), "antialias is 1"),
    "unknown-interpolation": (_model("Resize", "r", "s", mode="lanczos"), "mode is 'lanczos', allowed"),
    "upsample-without-scales": (_model("Upsample", opset=8), "scales is None"),
    "unknown-sampling": (_model("GridSample", "g", mode="lanczos"), "mode is 'lanczos'"),
    "batchnorm-per-element": (_model("BatchNormalization", "a", "b", "c", "d", opset=7, spatial=0), "spatial is 0"),
    "even-neighbourhood": (_model("LRN", size=4), "size is 4, allowed odd"),
    "third-norm": (_model("LpNormalization", p=3), "p is 3, allowed 1 and 2"),
    "soft-cap": (_model("Attention", "k", "v", softcap=2.0), "softcap 2.0"),
    "cache": (_model("Attention", "k", "v", LEFT_OUT, "pk", "pv"), r"inputs \['pk', 'pv'\]"),
}


@pytest.mark.parametrize(("model_bytes", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_request_is_refused_when_the_file_is_read(model_bytes: bytes, words: str) -> None:
    with pytest.raises(UnsupportedOperator, match=f"'suspect' .*{words}"):
        FrozenModel(read_graph(model_bytes))


def test_zero_point_that_depends_on_the_input_is_refused() -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], name="suspect"),
    ]
    model = FrozenModel(read_graph(to_bytes(build_model(nodes, shape=(2, 2)))))

    with pytest.raises(UnsupportedOperator, match=r"'suspect' .*zero point has type torch.float32"):
        model(torch.zeros(2, 2))


def test_resize_to_nothing_is_refused() -> None:
    nodes = [helper.make_node("Resize", ["x"], ["y"], name="suspect")]
    model = FrozenModel(read_graph(to_bytes(build_model(nodes, shape=(2, 2)))))

    with pytest.raises(UnsupportedOperator, match="neither scales nor sizes"):
        model(torch.zeros(2, 2))


def test_transposed_convolution_of_four_axes_is_refused() -> None:
    nodes = [helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="suspect")]
    weights = {"w": np.ones((2, 2, 1, 1, 1, 1), np.float32)}
    model = FrozenModel(read_graph(to_bytes(build_model(nodes, shape=(1, 2, 3, 3, 3, 3), initializers=weights))))

    with pytest.raises(UnsupportedOperator, match="4 spatial axes"):
        model(torch.zeros(1, 2, 3, 3, 3, 3))
