"""How frequent each class is in a batch, from predictions alone, and what that does to the source's moments.

Black-box shift estimation. If images of a class look as they did at the source, mean probabilities q of the batch are
the mixture of the mean probabilities M_c of the source's images of each class, q = sum over c of pi_c M_c. It says
nothing where that is not so: `PriorEstimate.is_safe` tells what predictions show of it, `explained` what taps do, and
only both together are to be relied on. Numpy only.

Source: Lipton, Wang & Smola (2018), "Detecting and correcting for label shift with black box predictors".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from service.contract.distances import statistics_loss
from service.contract.fingerprint import Fingerprint, OutcomeStatistics, TapStatistics
from service.contract.statistics import ChannelMoments, Floats

MOST_CONDITION = 30.0
"""Condition number of the mixture above which a direction of the prior cannot be told; the source's is kept there."""
FEWEST_OF_CLASS = 3
MOST_CLIPPED = 0.10
"""A solution with more than this below zero is no mixture of the source's classes: they look different now."""
MOST_NOISE = 0.15
"""Of the estimate over resampled images, in total variation. 128 balanced images in ten classes have .1, 32 have .2."""
RESAMPLES = 100


@dataclass(frozen=True)
class PriorEstimate:
    """Class frequencies of a batch.

    Attributes:
        prior: (K,) at least 0, of sum 1. source: (K,) that of the source.
        spread: (K,) standard deviation of each entry over resampled images.
        distance: total variation between prior and source. noise: mean total variation between resamples and prior.
        condition: of the mixture. smallest_count: source images of the rarest class that has any.
        clipped: what the solution had below zero.
    """

    prior: Floats
    source: Floats
    spread: Floats
    distance: float
    noise: float
    condition: float
    smallest_count: float
    clipped: float

    @property
    def is_safe(self) -> bool:
        """Whether predictions alone give no reason to doubt the prior."""
        return bool(
            self.condition <= MOST_CONDITION
            and self.smallest_count >= FEWEST_OF_CLASS
            and self.clipped <= MOST_CLIPPED
            and self.noise <= MOST_NOISE
        )

    def numbers(self, prefix: str = "prior_") -> dict[str, float]:
        """The numbers that are not per class, for the verdict; an unbounded condition is left out."""
        named = ("distance", "noise", "condition", "smallest_count", "clipped")
        values = {prefix + name: float(getattr(self, name)) for name in named}
        return {name: value for name, value in values.items() if np.isfinite(value)} | {
            prefix + "safe": float(self.is_safe)
        }


def estimate_prior(
    probability: Floats, source: OutcomeStatistics, class_counts: Floats, *, seed: int
) -> PriorEstimate | None:
    """Class frequencies of a batch with class probabilities (n, K); None without the source's confusion.

    Args:
        class_counts: (K,) source images of each class; classes without any get no share.
    """
    if source.confusion is None:
        return None
    known = class_counts > 0
    mixture, before = source.confusion[known].T, class_counts[known] / class_counts.sum()
    prior, clipped = _solve(mixture, before, probability.mean(axis=0))
    draw = np.random.default_rng(seed)
    resampled = (probability[draw.integers(0, len(probability), len(probability))] for _ in range(RESAMPLES))
    solutions = np.stack([_solve(mixture, before, rows.mean(axis=0))[0] for rows in resampled])
    return PriorEstimate(
        prior=_spread_out(prior, known),
        source=_spread_out(before, known),
        spread=_spread_out(solutions.std(axis=0), known),
        distance=float(np.abs(prior - before).sum() / 2.0),
        noise=float(np.abs(solutions - prior).sum(axis=1).mean() / 2.0),
        condition=float(np.linalg.cond(mixture)),
        smallest_count=float(class_counts[known].min()),
        clipped=clipped,
    )


def _solve(mixture: Floats, before: Floats, mean: Floats) -> tuple[Floats, float]:
    """The prior, and how much of it had to be clipped.

    Least squares for the change against the source's prior; directions with a singular value below the largest over
    MOST_CONDITION are left as they are at the source.
    """
    change = np.linalg.lstsq(mixture, mean - mixture @ before, rcond=1.0 / MOST_CONDITION)[0]
    raw = before + change
    kept = np.maximum(raw, 0.0)
    return kept / kept.sum(), float(np.maximum(-raw, 0.0).sum())


def _spread_out(values: Floats, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    """Values of the known classes among zeros."""
    every = np.zeros(len(known))
    every[known] = values
    return every


def reweighted(fingerprint: Fingerprint, prior: Floats) -> dict[str, ChannelMoments]:
    """Moments that the source would have with class frequencies `prior` (K,), of every tap with class moments.

    mean = sum over c of pi_c m_c and variance = sum over c of pi_c s_c - mean^2, with m_c and s_c the first and second
    moment of the images of class c: exact. Classes without a source image are left out, and the others raised.
    """
    return {name: _mixed(tap, prior) for name, tap in _with_classes(fingerprint.taps).items()}


def explained(
    batch: Mapping[str, ChannelMoments], fingerprint: Fingerprint, prior: Floats, taps: Sequence[str]
) -> float:
    """Share of a batch's statistics loss that other class frequencies account for, at most 1.

    1 - loss against the reweighted moments / loss against the source's own. Near 1 where nothing but class frequencies
    has changed; near 0, or below, where predictions are led astray by another shift, however sure they look: there the
    prior is wrong though `PriorEstimate.is_safe` may hold. Taps without class moments count with the source's own.
    Measured on 128 images of MNIST and CIFAR-10 (JPEG): .81 to .99 for skewed batches and for one class alone, -.11 to
    .41 for other shifts that double the loss of clean batches; in between for clean batches, where there is no loss to
    explain.
    """
    source = fingerprint.moments()
    plain = statistics_loss(batch, source, taps)
    return 1.0 - statistics_loss(batch, source | reweighted(fingerprint, prior), taps) / plain if plain > 0 else 0.0


def _with_classes(taps: Mapping[str, TapStatistics]) -> dict[str, TapStatistics]:
    return {name: tap for name, tap in taps.items() if len(tap.class_first)}


def _mixed(tap: TapStatistics, prior: Floats) -> ChannelMoments:
    known = ~np.isnan(tap.class_first[:, 0])
    weights = prior[known] / prior[known].sum()
    mean = weights @ tap.class_first[known]
    return ChannelMoments(mean, np.maximum(weights @ tap.class_second[known] - np.square(mean), 0.0))
