"""Rows for convolutions, pools, normalization and matrix products."""

from typing import Any

import numpy as np
from frozen_case import LEFT_OUT, Case, X, normal

PICTURE = (2, 4, 7, 6)

CONVOLUTIONS = [
    Case("Conv", "plain", (2, 3, 6, 5), (X, normal(2, 3, 3, 3))),
    Case("Conv", "bias", (2, 3, 6, 5), (X, normal(2, 3, 3, 3), normal(2)), {"kernel_shape": [3, 3]}),
    Case("Conv", "pads-strides", PICTURE, (X, normal(3, 4, 3, 3)), {"pads": [1, 1, 1, 1], "strides": [2, 3]}),
    Case("Conv", "asymmetric-pads", PICTURE, (X, normal(3, 4, 3, 2)), {"pads": [0, 1, 2, 0], "strides": [2, 1]}),
    Case("Conv", "groups", PICTURE, (X, normal(4, 2, 3, 3), normal(4)), {"group": 2}),
    Case("Conv", "depthwise", PICTURE, (X, normal(8, 1, 3, 3)), {"group": 4, "pads": [1, 1, 1, 1]}),
    Case("Conv", "dilations", PICTURE, (X, normal(2, 4, 3, 2)), {"dilations": [2, 3], "pads": [2, 1, 2, 1]}),
    Case("Conv", "same-upper", PICTURE, (X, normal(2, 4, 4, 3)), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("Conv", "same-lower", PICTURE, (X, normal(2, 4, 4, 3)), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    Case("Conv", "same-wide-stride", PICTURE, (X, normal(2, 4, 1, 2)), {"auto_pad": "SAME_UPPER", "strides": [3, 3]}),
    Case("Conv", "valid", PICTURE, (X, normal(2, 4, 3, 3)), {"auto_pad": "VALID", "strides": [2, 2]}),
    Case("Conv", "one-axis", (2, 3, 9), (X, normal(2, 3, 3)), {"pads": [2, 1], "strides": [2]}),
    Case("Conv", "three-axes", (1, 2, 4, 4, 3), (X, normal(2, 2, 2, 3, 2)), {"pads": [1, 1, 0, 1, 1, 0]}),
]

WINDOWS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_shape": [2, 3]},
    "pads-strides": {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]},
    "asymmetric-pads": {"kernel_shape": [3, 2], "pads": [0, 1, 2, 0], "strides": [2, 1]},
    "wide-pads": {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2], "strides": [2, 3]},
    "same-upper": {"kernel_shape": [3, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2]},
    "same-lower": {"kernel_shape": [3, 2], "auto_pad": "SAME_LOWER", "strides": [2, 2]},
    "valid": {"kernel_shape": [3, 2], "auto_pad": "VALID", "strides": [2, 2]},
}
CEILED: dict[str, dict[str, Any]] = {
    "ceil": {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
    "ceil-pads": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    "ceil-asymmetric": {"kernel_shape": [3, 3], "strides": [3, 2], "pads": [0, 1, 1, 0], "ceil_mode": 1},
    "ceil-drops-window": {"kernel_shape": [2, 2], "strides": [3, 4], "pads": [0, 0, 1, 1], "ceil_mode": 1},
}
DILATED: dict[str, dict[str, Any]] = {
    "dilations": {"kernel_shape": [2, 3], "dilations": [3, 2], "pads": [1, 1, 1, 1]},
    "dilations-ceil": {"kernel_shape": [2, 2], "dilations": [2, 3], "strides": [2, 2], "ceil_mode": 1},
    "dilations-asymmetric": {"kernel_shape": [2, 3], "dilations": [2, 2], "pads": [1, 0, 0, 1], "strides": [2, 1]},
}
ONE_AXIS = {"kernel_shape": [3], "pads": [1, 0], "strides": [2]}
THREE_AXES = {"kernel_shape": [2, 2, 2], "pads": [1, 0, 0, 1, 1, 0]}

MAX_POOLS = [
    *(Case("MaxPool", name, PICTURE, attributes=window) for name, window in WINDOWS.items()),
    *(
        Case("MaxPool", name, PICTURE, attributes=window, versions=(10, 11, 12, 22))
        for name, window in {**CEILED, **DILATED}.items()
    ),
    Case("MaxPool", "one-axis", (2, 3, 8), attributes=ONE_AXIS),
    Case("MaxPool", "three-axes", (1, 2, 4, 3, 4), attributes=THREE_AXES),
]


def _average_pools(counted: int) -> list[Case]:
    suffix = "-counting-pads" if counted else ""
    tables = ((WINDOWS, None), (CEILED, (10, 11, 19, 22)), (DILATED, (19, 22)))
    return [
        Case("AveragePool", name + suffix, PICTURE, (X,), {**window, "count_include_pad": counted}, versions)
        for table, versions in tables
        for name, window in table.items()
    ]


AVERAGE_POOLS = [
    *_average_pools(0),
    *_average_pools(1),
    Case("AveragePool", "one-axis", (2, 3, 8), attributes=ONE_AXIS),
    Case("AveragePool", "three-axes", (1, 2, 4, 3, 4), attributes=THREE_AXES),
    Case("GlobalAveragePool", "picture", PICTURE),
    Case("GlobalAveragePool", "one-axis", (2, 3, 8)),
]

NORM_POOLS = [
    *(Case("LpPool", name, PICTURE, attributes=window) for name, window in WINDOWS.items()),
    *(
        Case("LpPool", name, PICTURE, attributes=window, versions=(18, 22))
        for name, window in {**CEILED, **DILATED}.items()
    ),
    Case("LpPool", "sums", PICTURE, attributes={"kernel_shape": [2, 3], "p": 1}),
    Case("LpPool", "cubes", PICTURE, attributes={"kernel_shape": [2, 3], "p": 3}),
    Case("LpPool", "one-axis", (2, 3, 8), attributes=ONE_AXIS),
    Case("GlobalLpPool", "picture", PICTURE),
    Case("GlobalLpPool", "cubes", PICTURE, attributes={"p": 3}),
]

OTHERS = [
    Case("GlobalMaxPool", "picture", PICTURE),
    Case("GlobalMaxPool", "three-axes", (2, 3, 2, 3, 2)),
    Case(
        "BatchNormalization",
        "picture",
        (3, 4, 3, 2),
        (X, normal(4, seed=1), normal(4, seed=2), normal(4, seed=3), np.abs(normal(4)) + 0.1),
        {"epsilon": 1e-3},
    ),
    Case(
        "BatchNormalization",
        "vector",
        (3, 4),
        (X, normal(4, seed=1), normal(4, seed=2), normal(4, seed=3), np.abs(normal(4)) + 0.1),
        {"momentum": 0.5},
    ),
    Case("Gemm", "plain", (3, 4), (X, normal(4, 5), normal(5))),
    Case("Gemm", "turned", (4, 3), (X, normal(5, 4), normal(3, 1)), {"transA": 1, "transB": 1, "alpha": 0.5}),
    Case("Gemm", "beta", (3, 4), (X, normal(4, 5), normal(1)), {"alpha": 1.5, "beta": 0.25}),
    Case("Gemm", "no-addend", (3, 4), (X, normal(4, 5)), {"alpha": 2.0}, versions=(11, 13)),
    Case("Gemm", "input-on-the-right", (4, 5), (normal(3, 4), X, normal(3, 5)), {"alpha": 2.0}),
    Case("Gemm", "addend-left-out", (3, 4), (X, normal(4, 5), LEFT_OUT), versions=(11, 13)),
    Case("MatMul", "matrices", (3, 4), (X, normal(4, 5))),
    Case("MatMul", "stacked", (2, 3, 4), (normal(2, 1, 5, 3), X)),
    Case("MatMul", "vector", (2, 3, 4), (X, normal(4))),
    Case("MatMul", "vector-on-the-left", (2, 3, 4), (normal(3), X)),
    Case("MatMul", "vectors", (4,), (X, normal(4))),
    Case("MatMul", "both-stacked", (3, 1, 2, 4), (X, normal(2, 4, 5))),
    Case("Einsum", "heads", (2, 3, 4), (X, normal(5, 4)), {"equation": "bic,jc->bij"}),
    Case("Einsum", "spaces", (2, 3, 4), (X, normal(2, 5, 4)), {"equation": "b i c, b j c -> b j i"}),
    Case("Einsum", "dots", (2, 3, 4), (X, normal(4, 5)), {"equation": "...ij,jk->...ik"}),
    Case("Einsum", "no-right-side", (3, 4), (X, normal(4, 5)), {"equation": "ij,jk"}),
    Case("Einsum", "diagonal", (3, 3), (X,), {"equation": "ii->i"}),
    Case("Einsum", "sum", (3, 4), (X,), {"equation": "ij->"}),
]

CASES = [*CONVOLUTIONS, *MAX_POOLS, *AVERAGE_POOLS, *NORM_POOLS, *OTHERS]
