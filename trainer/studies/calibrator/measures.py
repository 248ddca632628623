"""What is measured of a contender: accuracy at rest and on the move, and what it does to high frequencies."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.contract.statistics import Floats
from trainer.datasets import Dataset

Predict = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""Planes (n, C, H, W) to class numbers (n,)."""

STINTS, STINT = 200, 100
"""A device on the move: how often it looks around, and how many images it takes there."""
WINDOW = 10
"""Stints in a row of which the worst are told."""
MOVES = 0.05
"""Probability that it moves to the other domain before a stint; the authors' test moves after 20."""
HIGH = 0.25
"""Cycles a pixel from which a frequency is high: half of what a grid can hold."""


def hits(predict: Predict, dataset: Dataset) -> NDArray[np.bool_]:
    """Which images (n,) are classified as labelled."""
    assert dataset.labels is not None
    return np.asarray(predict(dataset.images) == dataset.labels)


def percent(found: NDArray[np.bool_]) -> float:
    """Share in percent."""
    return 100.0 * float(np.mean(found))


class Journey(NamedTuple):
    """Percent right on the whole way, and in the worst ten stints in a row."""

    mean: float
    worst: float


def journey(source: NDArray[np.bool_], target: NDArray[np.bool_], seed: int) -> Journey:
    """A device that moves between source and target at random, and is not told where it is.

    Args:
        source, target: hits on either test set, of what answers each image by itself.
    """
    draw = np.random.default_rng(seed)
    domains = np.cumsum(draw.random(STINTS) < MOVES) % 2
    right = [int(draw.choice(target if there else source, STINT).sum()) for there in domains]
    worst = np.convolve(right, np.ones(WINDOW, dtype=int), mode="valid").min()
    return Journey(100.0 * sum(right) / (STINTS * STINT), 100.0 * int(worst) / (WINDOW * STINT))


def high_frequency_share(images: NDArray[np.float32]) -> float:
    """Percent of the power of images (n, C, H, W), their means left out, at frequencies of HIGH and above."""
    values: Floats = images.astype(np.float64)
    power = np.mean(np.abs(np.fft.fft2(values - values.mean(axis=(2, 3), keepdims=True))) ** 2, axis=(0, 1))
    radius = np.hypot(*np.meshgrid(*(np.fft.fftfreq(side) for side in power.shape), indexing="ij"))
    return 100.0 * float(power[radius >= HIGH].sum() / max(power.sum(), 1e-12))
