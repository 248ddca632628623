"""Is there a shift at all? A two-sample test of the frozen model's own view of a batch against that of the source.

Black-box shift detection: a Kolmogorov-Smirnov test of every class probability, of their entropy and of the channel
means of the first tap; the smallest p counts, times the number of tests. Of the source only quantiles are known, and
the test stays valid: see `ks_distance`. Numpy and scipy only.

Sources: Lipton, Wang & Smola (2018), "Detecting and correcting for label shift with black box predictors"; Rabanser,
Günnemann & Lipton (2019), "Failing loudly".
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import kstwo

from service.contract.fingerprint import OutcomeStatistics
from service.contract.statistics import Floats
from trainer.gate.scores import entropies

ALPHA = 0.01


@dataclass(frozen=True)
class ShiftTest:
    """What the test found.

    Attributes:
        p: chance of the largest difference, or a larger one, if there is no shift; the smallest over all tests, times
            their number, at most 1.
        where: what differs most.
        distance: Kolmogorov-Smirnov distance there.
        tests: how many were made.
    """

    p: float
    where: str
    distance: float
    tests: int

    def rejected(self, alpha: float = ALPHA) -> bool:
        """Whether "there is no shift" is rejected; where it is true, with a chance of `alpha` at most."""
        return self.p <= alpha

    @property
    def words(self) -> str:
        """The finding, for a reason's text."""
        return f"{self.where} differs most (p = {self.p:.2g}, {self.tests} tests)"

    def numbers(self, prefix: str = "shift_") -> dict[str, float]:
        """The numbers by name, for the verdict."""
        return {prefix + "p": self.p, prefix + "distance": self.distance, prefix + "tests": float(self.tests)}


def find_shift(
    probability: Floats, source: OutcomeStatistics, source_images: int, first_tap: Floats | None = None
) -> ShiftTest:
    """Test class probabilities (n, K) and, if given, channel means of the first tap (n, C) against the source."""
    distances = {
        name: ks_distance(values, quantiles) for name, values, quantiles in _pairs(probability, source, first_tap)
    }
    # All tests have the same sizes: the largest distance has the smallest p.
    where = max(distances, key=distances.__getitem__)
    p = ks_chance(distances[where], len(probability), source_images)
    return ShiftTest(min(1.0, p * len(distances)), where, distances[where], len(distances))


def _pairs(
    probability: Floats, source: OutcomeStatistics, first_tap: Floats | None
) -> Iterator[tuple[str, Floats, Floats]]:
    """Name, values of the batch and quantiles of the source for each test."""
    for index, quantiles in zip(source.classes, source.probability, strict=True):
        yield f"probability of class {index}", probability[:, index], quantiles
    yield "entropy", entropies(probability), source.entropy
    if first_tap is not None:
        for index, quantiles in zip(source.channels, source.channel_means, strict=True):
            yield f"channel {index} of the first tap", first_tap[:, index], quantiles


def ks_distance(values: Floats, quantiles: Floats) -> float:
    """Kolmogorov-Smirnov distance that values (n,) have for sure from a sample of which only quantiles are known.

    max over j of max(q_j - F(x_j), F(x_j-) - q_j), where F is the empirical distribution function of `values`, x_j the
    quantiles and q_j = j / (Q - 1). Each x_j is the smallest value with at least the share q_j of the sample at or
    below it, and therefore less than q_j below it: both differences are exceeded by the sample's own, ties or not. The
    distance is at most that between the samples, and less by no more than about one step of q.
    """
    shares = np.linspace(0.0, 1.0, len(quantiles))
    ordered = np.sort(values)
    at_or_below, below = (np.searchsorted(ordered, quantiles, side=side) / len(values) for side in ("right", "left"))
    return float(max((shares - at_or_below).max(), (below - shares).max()))


def ks_chance(distance: float, images: int, source_images: int) -> float:
    """Chance that two samples of one distribution lie `distance` or more apart.

    By the distribution of one sample of n m / (n + m) values, rounded down; too large where values repeat.
    """
    size = max(1, images * source_images // (images + source_images))
    return float(kstwo.sf(distance, size))
