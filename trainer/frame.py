"""What a corrector must know of the frozen model's input, and how it is read off a batch. Numpy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.contract.input_spec import InputSpec

UNIFORM_WITHIN, UNIFORM_SHARE = 0.05, 0.5
"""A border is a uniform background if more than this share of it lies within this part of the span of its median."""


@dataclass(frozen=True)
class Frame:
    """One frozen model's input, and where the target images lie in it.

    Attributes:
        shape: channels, height, width.
        background: (C,) value that surrounds the target images, or None where they have no uniform border.
        span: (C,) distance from the smallest to the largest value that a picture can have.
        low: (C,) that smallest value; None where nothing needs it.
    """

    shape: tuple[int, int, int]
    background: tuple[float, ...] | None
    span: tuple[float, ...]
    low: tuple[float, ...] | None = None


def frame_of(spec: InputSpec, images: NDArray[np.float32]) -> Frame:
    """The frame of an input, and whether these planes (n, C, H, W) lie on a uniform background."""
    low, high = spec.plane_bounds()
    span = high - low
    edges = (images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1])
    border = np.concatenate(edges, axis=2).transpose(1, 0, 2).reshape(len(span), -1)
    background = np.median(border, axis=1)
    near = np.abs(border - background[:, None]) < UNIFORM_WITHIN * span[:, None]
    uniform = bool((near.mean(axis=1) > UNIFORM_SHARE).all())
    return Frame(
        spec.shape, tuple(map(float, background)) if uniform else None, tuple(map(float, span)), tuple(map(float, low))
    )
