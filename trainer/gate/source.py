"""What is kept of the source's class probabilities, so that a batch can be held against them later.

Quantiles and means of all images together; no image and no row of one. Numpy and scipy only.
"""

import numpy as np
from numpy.typing import NDArray

from service.contract.fingerprint import OutcomeStatistics
from service.contract.statistics import Floats
from trainer.gate.outcome import nuclear_norm
from trainer.gate.scores import entropies

LEVELS = 257
MOST_CLASSES = 32
"""Classes whose probability is kept; of more, the most frequent ones. Each costs two kilobytes."""
MOST_CHANNELS = 16
"""Channels of the first tap that are kept, evenly spread."""
MOST_CONFUSED = 128
"""Classes up to which the mean probabilities of each class are kept: 128 kilobytes."""
SIZES = (16, 32, 64, 128, 256, 512, 1024)
DRAWS = 20


def outcome_statistics(
    probability: Floats, classes: NDArray[np.integer], first_tap: Floats, *, labels_given: bool
) -> OutcomeStatistics:
    """Statistics of class probabilities (n, K) of source images.

    Args:
        classes: (n,) labels, or predicted classes where there are none.
        first_tap: (n, C) channel means of the first tap.
        labels_given: whether `classes` are labels; there is no accuracy without.
    """
    entropy, largest = entropies(probability), probability.max(axis=1)
    mean = probability.mean(axis=0)
    kept = np.sort(np.argsort(-mean, kind="stable")[:MOST_CLASSES])
    channels = np.unique(np.linspace(0, first_tap.shape[1] - 1, min(MOST_CHANNELS, first_tap.shape[1])).astype(int))
    right = probability.argmax(axis=1) == classes
    sizes = [size for size in SIZES if size <= len(probability)] or [len(probability)]
    return OutcomeStatistics(
        classes=kept,
        probability=quantiles(probability[:, kept].T),
        entropy=quantiles(entropy),
        largest=quantiles(largest),
        channels=channels,
        channel_means=quantiles(first_tap[:, channels].T),
        mean=mean,
        mean_entropy=np.array([entropy.mean()]),
        mean_largest=np.array([largest.mean()]),
        sizes=np.array(sizes, dtype=np.float64),
        nuclear_norm=_nuclear_norms(probability, sizes),
        confusion=_confusion(probability, classes) if probability.shape[1] <= MOST_CONFUSED else None,
        accuracy=np.array([right.mean()]) if labels_given else None,
        entropy_threshold=np.array([_threshold(entropy, int(right.sum()))]) if labels_given else None,
    )


def quantiles(values: Floats) -> Floats:
    """LEVELS quantiles of the last axis, lowest first: each the smallest value that has its share at or below it."""
    found = np.quantile(values, np.linspace(0.0, 1.0, LEVELS), axis=-1, method="inverted_cdf")
    return np.ascontiguousarray(np.moveaxis(found, 0, -1))


def _threshold(entropy: Floats, right: int) -> float:
    """The entropy that `right` images lie at or below; negative if there is none.

    Source: Garg et al. (2022), "Leveraging unlabeled data to predict out-of-distribution performance".
    """
    return float(np.sort(entropy)[right - 1]) if right else -1.0


def _confusion(probability: Floats, classes: NDArray[np.integer]) -> Floats:
    count = probability.shape[1]
    means = np.full((count, count), np.nan)
    for index in np.unique(classes):
        means[index] = probability[classes == index].mean(axis=0)
    return means


def _nuclear_norms(probability: Floats, sizes: list[int]) -> Floats:
    draw = np.random.default_rng(0)
    return np.array(
        [
            np.mean([nuclear_norm(probability[draw.integers(0, len(probability), size)]) for _ in range(DRAWS)])
            for size in sizes
        ]
    )
