"""Rows for operators that resize pictures."""

from typing import Any

import numpy as np
from frozen_case import LEFT_OUT, Case, X, ints

from trainer.frozen.resampling import NEAREST_MODES, TRANSFORMATIONS

PICTURE = (2, 3, 4, 5)
SINCE_11 = (11, 13, 18, 19)
SINCE_18 = (18, 19)


def factors(*values: float) -> np.ndarray:
    """Scales, float32."""
    return np.array(values, dtype=np.float32)


NONE = factors()
"""An input not given, as opset 11 has it: empty, not left out."""
UP, DOWN, ODD = factors(1, 1, 2, 3), factors(1, 1, 0.5, 0.6), factors(1, 1, 1.7, 0.7)
SCALES = {"up": UP, "down": DOWN, "odd": ODD}


def _resize(name: str, *inputs: str | np.ndarray, **attributes: Any) -> Case:
    versions = SINCE_18 if {"axes", "keep_aspect_ratio_policy"} & set(attributes) else SINCE_11
    if attributes.get("coordinate_transformation_mode") == "half_pixel_symmetric":
        versions = (19,)
    if attributes.get("coordinate_transformation_mode") == "tf_half_pixel_for_nn":
        versions = (11,)
    return Case("Resize", name, PICTURE, (X, *inputs), attributes, versions)


def _modes(mode: str, transformation: str, nearest: str = "") -> list[Case]:
    attributes = {"mode": mode, "coordinate_transformation_mode": transformation}
    attributes |= {"nearest_mode": nearest} if nearest else {}
    name = "-".join(filter(None, (mode, transformation, nearest)))
    sizes = _resize(f"{name}-sizes", NONE, NONE, ints(2, 3, 7, 3), **attributes)
    by_scales = [_resize(f"{name}-{key}", NONE, scales, **attributes) for key, scales in SCALES.items()]
    return [sizes, *by_scales]


OLD = [
    *(
        Case(operator, f"{mode}-{name}", PICTURE, (X, scales), {"mode": mode}, (version,))
        for operator, version in (("Upsample", 9), ("Resize", 10))
        for mode in ("nearest", "linear")
        for name, scales in SCALES.items()
        if operator == "Resize" or name == "up"
    ),
    *(
        Case("Upsample", f"{mode}-attribute", PICTURE, (X,), {"mode": mode, "scales": [1.0, 1.0, 2.0, 1.5]}, (7,))
        for mode in ("nearest", "linear")
    ),
]

RESIZES = [
    *(case for kind in TRANSFORMATIONS for nearest in NEAREST_MODES for case in _modes("nearest", kind, nearest)),
    *(case for mode in ("linear", "cubic") for kind in TRANSFORMATIONS for case in _modes(mode, kind)),
    _resize("default", NONE, UP),
    _resize("to-one", NONE, NONE, ints(2, 3, 1, 1), mode="linear", coordinate_transformation_mode="align_corners"),
    Case("Resize", "scales-left-out", PICTURE, (X, LEFT_OUT, LEFT_OUT, ints(2, 3, 8, 9)), versions=(13, 18, 19)),
    _resize("nearly-tied", NONE, factors(1, 1, 1 / 1.5000005, 1 / 1.4999995), nearest_mode="round_prefer_floor"),
    _resize("same-sizes", NONE, factors(1, 1, 1.1, 1.15), mode="linear"),
    _resize("same-height", NONE, factors(1, 1, 1.1, 1.7), mode="linear"),
    _resize("cubic-coefficient", NONE, ODD, mode="cubic", cubic_coeff_a=-0.5),
    _resize("cubic-excluding", NONE, ODD, mode="cubic", exclude_outside=1),
    _resize("axes", NONE, factors(1.5, 0.8), mode="linear", axes=[2, 3]),
    _resize("axes-turned", NONE, NONE, ints(9, 3), mode="nearest", axes=[3, 2]),
    *(
        _resize(policy, NONE, NONE, ints(7, 8), mode="linear", axes=[2, 3], keep_aspect_ratio_policy=policy)
        for policy in ("not_larger", "not_smaller")
    ),
]

GRID = np.random.default_rng(3).uniform(-1.3, 1.3, (2, 6, 7, 2)).astype(np.float32)
VOLUME_GRID = np.random.default_rng(3).uniform(-1.3, 1.3, (2, 2, 3, 4, 3)).astype(np.float32)
MODES_OF_16, MODES_SINCE_20 = ("bilinear", "nearest", "bicubic"), ("linear", "nearest", "cubic")

FADE = np.linspace(0, 1, 20, dtype=np.float32).reshape(5, 4)

SAMPLES = [
    *(
        Case(
            "GridSample",
            f"{mode}-{padding}-{aligned}",
            PICTURE,
            (X, GRID),
            {"mode": mode, "padding_mode": padding, "align_corners": aligned},
            tuple(
                version
                for modes, versions in ((MODES_OF_16, (16,)), (MODES_SINCE_20, (20, 22)))
                for version in versions
                if mode in modes
            ),
        )
        for mode in dict.fromkeys((*MODES_OF_16, *MODES_SINCE_20))
        for padding in ("zeros", "border", "reflection")
        for aligned in (0, 1)
    ),
    Case("GridSample", "default", PICTURE, (X, GRID)),
    Case("GridSample", "volume", (2, 3, 4, 5, 3), (X, VOLUME_GRID), {"mode": "linear"}, (20, 22)),
    Case("GridSample", "places", (2, 4, 3, 2), (np.ones((2, 3, 5, 4), np.float32) * FADE, X), bounds=(-0.9, 0.9)),
]

CASES = [*OLD, *RESIZES, *SAMPLES]
