"""Which images of a batch a fit should look at at all, before any model is asked what they show. Numpy only.

Every image is kept or left out for one reason, the first that holds. Later reasons are judged among the images that
are still in: copies and empty pictures must not move the medians that outliers are measured by. Nothing is changed
and nothing decided here; the shares go into the verdict.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from service.contract.statistics import Floats
from trainer.gate.duplicates import repeats
from trainer.gate.signatures import RINGS, signatures

FLAT = 1e-3
"""Standard deviation, as a share of the span, that no channel of a picture exceeds which shows nothing, whatever its
colour: a quarter of a grey level."""
FAR = 6.0
"""Robust z above which one entry of a signature makes an outlier."""
LEAST_MEAN, LEAST_LOG, LEAST_MORE = 0.01, 0.25, 0.5
"""The unit of z is at least: for means and standard deviations of channels this share of the span, for logarithms of
power this much, for further numbers this share of the root mean square of their units. Distorted or blurred images have
entries that hardly vary, and then by more than they should. With these, honest batches of 256 to 512 images of MNIST,
USPS, optdigits and CIFAR-10 (JPEG), also distorted, blurred, noisy or of one class, have .05 to .5 % of outliers in the
mean of six draws, 1.2 % in the worst."""
QUARTILE = 0.6745
"""Of standard normal numbers."""
FEWEST = 8
"""With fewer images there is no telling which of them is odd."""


class Fault(StrEnum):
    """Why an image is left out, in the order in which they are looked for."""

    NOT_FINITE = "not_finite"
    FLAT = "flat"
    REPEAT = "repeat"
    OUTLIER = "outlier"


@dataclass(frozen=True)
class Sanity:
    """What was found in a batch.

    Attributes:
        images: how many there were.
        keep: row numbers of those that are in order, rising.
        left_out: row numbers for each fault, rising; disjoint.
    """

    images: int
    keep: NDArray[np.int64]
    left_out: dict[Fault, NDArray[np.int64]]

    def share(self, fault: Fault) -> float:
        """Share of the batch that has a fault."""
        return len(self.left_out[fault]) / self.images

    def numbers(self, prefix: str = "") -> dict[str, float]:
        """Shares by name, for the verdict."""
        return {f"{prefix}share_{fault}": self.share(fault) for fault in Fault}


def examine(images: NDArray[np.floating], span: float, more: Floats | None = None) -> Sanity:
    """Look for faults in planes (n, C, H, W) whose values reach over `span`.

    Args:
        more: (n, D) further numbers of each image that outliers are looked for in, such as the first tap's means.
    """
    finite = np.isfinite(images).all(axis=(1, 2, 3))
    if more is not None:
        finite &= np.isfinite(more).all(axis=1)
    rows = np.flatnonzero(finite)
    left_out = {Fault.NOT_FINITE: np.flatnonzero(~finite)}
    spread = images[rows].std(axis=(2, 3), dtype=np.float64).max(axis=1)
    rows, left_out[Fault.FLAT] = _divided(rows, spread < FLAT * span)
    rows, left_out[Fault.REPEAT] = _divided(rows, repeats(images[rows]) if len(rows) else np.zeros(0, dtype=np.bool_))
    rows, left_out[Fault.OUTLIER] = _divided(rows, _odd(images, rows, span, more))
    return Sanity(len(images), rows, left_out)


def _odd(images: NDArray[np.floating], rows: NDArray[np.int64], span: float, more: Floats | None) -> NDArray[np.bool_]:
    if len(rows) < FEWEST:
        return np.zeros(len(rows), dtype=np.bool_)
    least = np.full(2 * images.shape[1] + RINGS, LEAST_LOG)
    least[: 2 * images.shape[1]] = LEAST_MEAN * span
    z = robust_z(signatures(images[rows], span), least)
    if more is not None:
        further = more[rows]
        units = np.median(np.abs(further - np.median(further, axis=0)), axis=0) / QUARTILE
        floor = np.full(further.shape[1], LEAST_MORE * np.sqrt(np.mean(np.square(units))))
        z = np.concatenate([z, robust_z(further, floor)], axis=1)
    return np.asarray((z > FAR).any(axis=1))


def robust_z(values: Floats, least: Floats) -> Floats:
    """Distance from the median of each column of (n, D), in units that outliers hardly move, (n, D).

    The unit above the median is the distance of the upper quartile from it, over 0.6745: the standard deviation of
    normal numbers. Below it is that of the lower quartile. Skewed columns thus have a unit for each side. Neither is
    less than the column's median absolute deviation over 0.6745, nor than `least` (D,); where all are 0, z is 0.
    A quarter of the images on one side moves the unit, half of them the median.
    """
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    apart = values - middle
    least = np.maximum(np.median(np.abs(apart), axis=0), QUARTILE * least)
    unit = np.where(apart > 0, np.maximum(high - middle, least), np.maximum(middle - low, least)) / QUARTILE
    z: Floats = np.divide(np.abs(apart), unit, out=np.zeros_like(apart), where=unit > 0)
    return z


def _divided(rows: NDArray[np.int64], faulty: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows without and with the fault."""
    return rows[~faulty], rows[faulty]
