"""Moments of activations: per image first, so that any subset's statistics are means over its rows.

Shapes: N images, C channels, S spatial positions. All statistics are float64.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class ImageMoments:
    """First and second moment of each channel over the positions of each image.

    Attributes:
        first: (N, C), mean over S of the activation.
        second: (N, C), mean over S of its square.
    """

    first: Floats
    second: Floats

    @classmethod
    def of(cls, activation: NDArray[np.floating]) -> Self:
        """Moments of an activation (N, C, ...)."""
        flat = np.asarray(activation, dtype=np.float64).reshape(*activation.shape[:2], -1)
        return cls(flat.mean(axis=2), np.square(flat).mean(axis=2))

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: NDArray[np.integer]) -> Self:
        """The moments of the images named by `rows`, repeated as often as they are named."""
        return type(self)(self.first[rows], self.second[rows])

    def pooled(self) -> "ChannelMoments":
        """Mean and variance of each channel over all images and positions."""
        mean = self.first.mean(axis=0)
        return ChannelMoments(mean, np.maximum(self.second.mean(axis=0) - np.square(mean), 0.0))

    @classmethod
    def concatenate(cls, parts: list[Self]) -> Self:
        """The moments of several batches, in order."""
        return cls(np.concatenate([p.first for p in parts]), np.concatenate([p.second for p in parts]))


@dataclass(frozen=True)
class ChannelMoments:
    """Mean and biased variance of each channel, two arrays (C,)."""

    mean: Floats
    var: Floats


TapMoments = Mapping[str, ImageMoments]


def pool(moments: TapMoments) -> dict[str, ChannelMoments]:
    """`ImageMoments.pooled` for every tap."""
    return {name: tap.pooled() for name, tap in moments.items()}


def take(moments: TapMoments, rows: NDArray[np.integer]) -> dict[str, ImageMoments]:
    """`ImageMoments.take` for every tap."""
    return {name: tap.take(rows) for name, tap in moments.items()}
