"""Rows for the quantized operators."""

from typing import Any

import numpy as np
from frozen_case import LEFT_OUT, X, normal
from frozen_quantized_case import MICROSOFT, Q, QuantizedCase, drawn, real, whole
from onnx import TensorProto

SINCE_13 = (13, 19, 21, 23, 24, 25)
SINCE_21 = (21, 23, 24, 25)
PICTURE = (2, 3, 5, 4)
FINE, ZERO = real(0.02), whole("uint8", 117)
"""The scale and zero point of Q."""

QUANTIZERS = [
    QuantizedCase("QuantizeLinear", "uint8", PICTURE, (X, FINE, ZERO)),
    QuantizedCase("QuantizeLinear", "saturated", PICTURE, (X, real(0.004), ZERO)),
    QuantizedCase("QuantizeLinear", "ties", (9,), (np.arange(-4, 5, dtype=np.float32) / 2, real(1.0), ZERO)),
    QuantizedCase("QuantizeLinear", "int8", PICTURE, (X, real(0.017), whole("int8", -3))),
    QuantizedCase("QuantizeLinear", "zero-left-out", PICTURE, (X, FINE)),
    QuantizedCase(
        "QuantizeLinear",
        "per-axis",
        PICTURE,
        (X, real(0.01, 0.02, 0.05), whole("int8", 0, -3, 5)),
        {"axis": 1},
        SINCE_13,
    ),
    QuantizedCase(
        "QuantizeLinear",
        "per-last-axis",
        PICTURE,
        (X, real(0.01, 0.02, 0.05, 0.1), whole("uint8", 0, 3, 5, 255)),
        {"axis": -1},
        SINCE_13,
    ),
    QuantizedCase("QuantizeLinear", "int16", PICTURE, (X, real(1e-4), whole("int16", -3)), {}, SINCE_21),
    QuantizedCase("QuantizeLinear", "uint16", PICTURE, (X, real(1e-4), whole("uint16", 30000)), {}, SINCE_21),
    QuantizedCase("QuantizeLinear", "stated-type", PICTURE, (X, FINE), {"output_dtype": TensorProto.INT8}, SINCE_21),
    QuantizedCase(
        "QuantizeLinear",
        "blocks",
        (3, 5, 2),
        (X, np.abs(normal(3, 3, 2)) * 0.01 + 0.02, drawn("int8", 3, 3, 2) // 8),
        {"axis": 1, "block_size": 2},
        SINCE_21,
    ),
    QuantizedCase("DequantizeLinear", "uint8", PICTURE, (Q, FINE, ZERO)),
    QuantizedCase("DequantizeLinear", "zero-left-out", PICTURE, (Q, FINE)),
    QuantizedCase("DequantizeLinear", "int8", PICTURE, (Q, FINE, whole("int8", 5)), zero=5, kind="int8"),
    QuantizedCase("DequantizeLinear", "bias", (3,), (whole("int32", -(2**30), 7, 2**20 + 1), real(1e-5))),
    QuantizedCase(
        "DequantizeLinear",
        "per-axis",
        (4, 3),
        (drawn("int8", 2, 3, 2, 2), real(0.01, 0.02, 0.05), whole("int8", 0, 0, 0)),
        {"axis": -3},
        SINCE_13,
    ),
    QuantizedCase(
        "DequantizeLinear", "uint16", (2, 3), (whole("uint16", 3, 65535), FINE, whole("uint16", 300)), {}, SINCE_21
    ),
    QuantizedCase(
        "DequantizeLinear",
        "blocks",
        (4, 3),
        (drawn("int8", 3, 5, 2), np.abs(normal(3, 3, 2)), drawn("int8", 3, 3, 2, seed=6)),
        {"axis": 1, "block_size": 2},
        SINCE_21,
    ),
    QuantizedCase("QuantizeLinear", "sixteen-bits", PICTURE, (X, real(1e-4), whole("uint16", 30000)), domain=MICROSOFT),
    QuantizedCase(
        "DequantizeLinear",
        "sixteen-bits",
        (2, 3),
        (whole("int16", -3, 32767), FINE, whole("int16", 0)),
        domain=MICROSOFT,
    ),
    QuantizedCase("DynamicQuantizeLinear", "both-signs", PICTURE, outputs=3),
    QuantizedCase("DynamicQuantizeLinear", "above-zero", PICTURE, bounds=(0.5, 2.0), outputs=3),
    QuantizedCase("DynamicQuantizeLinear", "below-zero", PICTURE, bounds=(-2.0, -1.0), outputs=3),
    QuantizedCase("DynamicQuantizeLinear", "zeros", PICTURE, bounds=(0.0, 0.0), outputs=3),
]

WEIGHT, BIAS = drawn("int8", 4, 3, 3, 3), drawn("int8", 4).astype(np.int32) * 50
ONE_WEIGHT_SCALE = (real(0.01), whole("int8", 0))
WEIGHT_SCALES = (real(0.01, 0.02, 0.005, 0.01), whole("int8", 0, 0, 0, 0))
RESULT = (real(0.0973), whole("uint8", 100))
SIGNED = (real(0.0973), whole("int8", -3))
PADDED = {"pads": [1, 1, 1, 1]}

CONVOLUTIONS = [
    QuantizedCase("QLinearConv", "bias", PICTURE, (Q, FINE, ZERO, WEIGHT, *ONE_WEIGHT_SCALE, *RESULT, BIAS), PADDED),
    QuantizedCase("QLinearConv", "per-channel", PICTURE, (Q, FINE, ZERO, WEIGHT, *WEIGHT_SCALES, *RESULT), PADDED),
    QuantizedCase(
        "QLinearConv",
        "unsigned-weight",
        PICTURE,
        (Q, FINE, ZERO, drawn("uint8", 4, 3, 3, 3), real(0.01), whole("uint8", 130), *RESULT),
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    ),
    QuantizedCase(
        "QLinearConv",
        "signed-depthwise",
        PICTURE,
        (Q, FINE, whole("int8", 9), drawn("int8", 3, 1, 3, 2), *ONE_WEIGHT_SCALE, *SIGNED),
        {"group": 3, "pads": [2, 0, 1, 1]},
        zero=9,
        kind="int8",
    ),
    QuantizedCase("ConvInteger", "zeros-left-out", PICTURE, (Q, WEIGHT)),
    QuantizedCase("ConvInteger", "zeros", PICTURE, (Q, drawn("uint8", 4, 3, 3, 3), ZERO, whole("uint8", 120)), PADDED),
]

FACTOR = drawn("int8", 4, 5)
COLUMNS = (real(0.01, 0.02, 0.005, 0.01, 0.03), whole("int8", 1, -2, 0, 5, 7))

PRODUCTS = [
    QuantizedCase("QLinearMatMul", "matrices", (3, 4), (Q, FINE, ZERO, FACTOR, *ONE_WEIGHT_SCALE, *RESULT)),
    QuantizedCase("QLinearMatMul", "columns", (2, 3, 4), (Q, FINE, ZERO, FACTOR, *COLUMNS, *RESULT)),
    QuantizedCase(
        "QLinearMatMul",
        "input-on-the-right",
        (4, 5),
        (drawn("uint8", 3, 4), real(0.01), whole("uint8", 9), Q, FINE, ZERO, *RESULT),
    ),
    QuantizedCase("MatMulInteger", "zeros-left-out", (3, 4), (Q, FACTOR)),
    QuantizedCase("MatMulInteger", "zeros", (2, 3, 4), (Q, FACTOR, ZERO, whole("int8", 5))),
    QuantizedCase("MatMulInteger", "columns", (3, 4), (Q, FACTOR, ZERO, COLUMNS[1])),
    QuantizedCase(
        "QGemm",
        "addend",
        (3, 4),
        (Q, FINE, ZERO, drawn("int8", 5, 4), *ONE_WEIGHT_SCALE, drawn("int8", 5).astype(np.int32) * 50, *RESULT),
        {"transB": 1},
        domain=MICROSOFT,
    ),
    QuantizedCase(
        "QGemm",
        "columns",
        (3, 4),
        (Q, FINE, ZERO, FACTOR, *COLUMNS, LEFT_OUT, *RESULT),
        {"alpha": 0.5},
        domain=MICROSOFT,
    ),
    QuantizedCase(
        "QGemm", "real-result", (4, 3), (Q, FINE, ZERO, FACTOR, *ONE_WEIGHT_SCALE), {"transA": 1}, domain=MICROSOFT
    ),
]

OTHER = (drawn("uint8", *PICTURE), real(0.0312), whole("uint8", 90))
TWIN = (Q, FINE, ZERO)
UNIT = (real(1 / 256), whole("uint8", 0))
POOL = {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 1]}


def _microsoft(operator: str, name: str, inputs: tuple[str | np.ndarray, ...], **attributes: Any) -> QuantizedCase:
    return QuantizedCase(operator, name, PICTURE, inputs, attributes, domain=MICROSOFT)


ELEMENTS = [
    _microsoft("QLinearAdd", "same-shape", (*TWIN, *OTHER, *RESULT)),
    _microsoft("QLinearAdd", "with-itself", (*TWIN, *TWIN, *RESULT)),
    QuantizedCase(
        "QLinearAdd",
        "signed-broadcast",
        PICTURE,
        (Q, FINE, whole("int8", 9), drawn("int8", 3, 1, 1), real(0.0312), whole("int8", -2), *SIGNED),
        domain=MICROSOFT,
        zero=9,
        kind="int8",
    ),
    _microsoft("QLinearMul", "same-shape", (*TWIN, *OTHER, *RESULT)),
    _microsoft("QLinearMul", "saturated", (*TWIN, *OTHER, real(0.01), ZERO)),
    _microsoft("QLinearSigmoid", "picture", (*TWIN, *UNIT)),
    _microsoft("QLinearLeakyRelu", "picture", (*TWIN, *RESULT), alpha=0.2),
    _microsoft("QLinearSoftmax", "last-axis", (*TWIN, *UNIT), axis=-1, opset=13),
    _microsoft("QLinearSoftmax", "rows", (*TWIN, *UNIT), axis=1, opset=12),
    _microsoft("QLinearAveragePool", "pads", (*TWIN, real(0.03), ZERO), **POOL),
    _microsoft("QLinearAveragePool", "counting-pads", (*TWIN, real(0.03), ZERO), **POOL, count_include_pad=1),
    _microsoft("QLinearGlobalAveragePool", "picture", (*TWIN, real(0.011), ZERO)),
    _microsoft("QLinearConcat", "channels", (*RESULT, *TWIN, *OTHER, *TWIN), axis=1),
]

HALVES, COARSE, ODD = real(0.5), real(2.0), whole("uint8", 101)
HALF = (Q, HALVES, ODD)
HALF_OTHER = (drawn("uint8", *PICTURE), HALVES, ODD)


def _tie(operator: str, *inputs: str | np.ndarray, domain: str = MICROSOFT, **attributes: Any) -> QuantizedCase:
    """Many results lie between two whole numbers, and the zero point is odd: where it is added decides them."""
    return QuantizedCase(
        operator, "ties", PICTURE, inputs, attributes, None, (-40.0, 40.0), domain=domain, scale=0.5, zero=101
    )


TIES = [
    _tie("QLinearConv", *HALF, WEIGHT, HALVES, whole("int8", 0), real(64.0), ODD, domain=""),
    _tie("QLinearMatMul", *HALF, FACTOR, HALVES, whole("int8", 0), real(64.0), ODD, domain=""),
    _tie("QLinearAdd", *HALF, *HALF_OTHER, COARSE, ODD),
    _tie("QLinearMul", *HALF, *HALF_OTHER, real(64.0), ODD),
    _tie("QLinearLeakyRelu", *HALF, COARSE, ODD, alpha=0.5),
    _tie("QLinearAveragePool", *HALF, COARSE, ODD, kernel_shape=[2, 2]),
    _tie("QLinearGlobalAveragePool", *HALF, real(0.05), ODD),
    _tie("QLinearConcat", COARSE, ODD, *HALF, *HALF_OTHER, axis=1),
]

CASES = [*QUANTIZERS, *CONVOLUTIONS, *PRODUCTS, *ELEMENTS, *TIES]
