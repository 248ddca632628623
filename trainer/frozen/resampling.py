"""Where the pixels of a resized axis come from. Numbers only, no tensor of torch.

Everything is computed in single precision and in onnxruntime's order: which of two pixels is the nearest one depends
on the last bit of a coordinate.
"""

from collections.abc import Callable
from functools import lru_cache
from math import floor
from typing import NamedTuple

import numpy as np

Coordinates = np.ndarray
"""One float32 per pixel of the result: its place on the axis that is resized."""


class Axis(NamedTuple):
    """One axis: its size, its new size, and the factor between their coordinates (not always their ratio)."""

    size: int
    goal: int
    scale: float


class Filter(NamedTuple):
    """How to interpolate: ONNX's attributes by their own names."""

    mode: str
    transformation: str
    nearest: str
    cubic: float = -0.75
    excludes: bool = False


def scaled(size: int, scale: float) -> int:
    """The size times a factor, cut off."""
    return int(np.float32(size) * np.float32(scale))


def rounded(size: int, scale: float) -> int:
    """The size times a factor, rounded, halves up."""
    return max(floor(float(np.float32(size) * np.float32(scale)) + 0.5), 1)


def ratio(goal: int, size: int) -> float:
    """New size over old."""
    return float(np.float32(goal) / np.float32(size))


def _half_pixel(places: Coordinates, axis: Axis) -> Coordinates:
    return (places + np.float32(0.5)) / np.float32(axis.scale) - np.float32(0.5)


def _symmetric(places: Coordinates, axis: Axis) -> Coordinates:
    adjustment = np.float32(axis.goal) / (np.float32(axis.scale) * np.float32(axis.size))
    offset = np.float32(axis.size / 2) * (np.float32(1.0) - adjustment)
    # This one alone is summed in double precision.
    return (offset + (places.astype(np.float64) + 0.5) / axis.scale - 0.5).astype(np.float32)


def _aligned(places: Coordinates, axis: Axis) -> Coordinates:
    return places * 0 if axis.goal == 1 else places * np.float32(axis.size - 1) / np.float32(axis.goal - 1)


_TRANSFORMATIONS: dict[str, Callable[[Coordinates, Axis], Coordinates]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": lambda places, axis: places * 0 if axis.goal == 1 else _half_pixel(places, axis),
    "align_corners": _aligned,
    "asymmetric": lambda places, axis: places / np.float32(axis.scale),
    "tf_half_pixel_for_nn": lambda places, axis: (places + np.float32(0.5)) / np.float32(axis.scale),
}
TRANSFORMATIONS = tuple(_TRANSFORMATIONS)

_TIE = 1e-6
"""Coordinates that are no further from a half are halves to onnxruntime."""
_NEAREST: dict[str, Callable[[Coordinates], Coordinates]] = {
    "round_prefer_floor": lambda at: np.ceil(at.astype(np.float64) - 0.5 - _TIE),
    "round_prefer_ceil": lambda at: np.floor(at.astype(np.float64) + 0.5 + _TIE),
    "floor": np.floor,
    "ceil": np.ceil,
}
NEAREST_MODES = tuple(_NEAREST)


def _coordinates(axis: Axis, choice: Filter) -> Coordinates:
    return _TRANSFORMATIONS[choice.transformation](np.arange(axis.goal, dtype=np.float32), axis)


@lru_cache(maxsize=64)
def picks(axis: Axis, choice: Filter) -> np.ndarray:
    """The nearest pixel of each new one, int64, (goal,)."""
    at = _coordinates(axis, choice)
    if choice.nearest == "simple":
        # Before opset 11: the pixel before, or after it where pixels are left out.
        nearest = np.ceil(at) if axis.scale < 1 else np.trunc(at)
    else:
        nearest = _NEAREST[choice.nearest](at)
    picked: np.ndarray = nearest.clip(0, axis.size - 1).astype(np.int64)
    return picked


@lru_cache(maxsize=64)
def copies(axis: Axis, choice: Filter) -> int | None:
    """How often each pixel is repeated, if `picks` does nothing else."""
    count = axis.goal // axis.size
    plain = count * axis.size == axis.goal and np.array_equal(
        picks(axis, choice), np.arange(axis.goal) // max(count, 1)
    )
    return count if plain else None


@lru_cache(maxsize=64)
def weights(axis: Axis, choice: Filter) -> np.ndarray:
    """What each old pixel gives to each new one, float32, (goal, size); the rows sum to one."""
    at = _coordinates(axis, choice)
    first = np.floor(at)
    taps = _cubic(at - first, choice.cubic) if choice.mode == "cubic" else {0: 1 - (at - first), 1: at - first}
    table = np.zeros((axis.goal, axis.size), np.float32)
    for offset, share in taps.items():
        places = (first + offset).astype(np.int64)
        inside = (places >= 0) & (places < axis.size)
        kept = share * inside if choice.excludes else share
        np.add.at(table, (np.arange(axis.goal), places.clip(0, axis.size - 1)), kept)
    return table / table.sum(axis=1, keepdims=True) if choice.excludes else table


def _cubic(past: Coordinates, a: float) -> dict[int, Coordinates]:
    """Shares of the four pixels around a place that lies `past` the second one; Keys' kernel."""

    def near(d: Coordinates) -> Coordinates:
        return np.polyval([a + 2, -(a + 3), 0, 1], d)

    def far(d: Coordinates) -> Coordinates:
        return np.polyval([a, -5 * a, 8 * a, -4 * a], d)

    return {-1: far(1 + past), 0: near(past), 1: near(1 - past), 2: far(2 - past)}
