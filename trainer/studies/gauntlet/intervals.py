"""A number and its 95 % confidence interval: Wilson's for shares, the bootstrap's percentiles for anything else."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, rankdata

CONFIDENCE = 0.95
RESAMPLES = 1_000
SEED = 0
FEWEST_PAIRS = 3
"""Fewer pairs have no rank correlation to speak of."""

Values = NDArray[np.float64]


class Estimate(NamedTuple):
    """A value, its interval, and how many jobs it is of."""

    value: float
    low: float
    high: float
    jobs: int


def share(hits: Sequence[bool]) -> Estimate | None:
    """Percent of hits; None of nothing. Wilson's interval holds at 0 and 100 %, where others have no width."""
    if not hits:
        return None
    interval = binomtest(sum(hits), len(hits)).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(100 * sum(hits) / len(hits), 100 * float(interval.low), 100 * float(interval.high), len(hits))


def bootstrapped(values: Sequence[float], statistic: Callable[[Values], Values]) -> Estimate | None:
    """A statistic, which reduces the last axis, and percentiles of it over resampled values; None of nothing."""
    if not values:
        return None
    found = np.array(values, dtype=np.float64)
    low, high = _percentiles(statistic(found[_rows(len(found))]))
    return Estimate(float(statistic(found)), low, high, len(found))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> Estimate | None:
    """Spearman's, over resampled pairs; None of too few pairs or where either side is always the same."""
    pairs = np.array([first, second], dtype=np.float64)
    if pairs.shape[1] < FEWEST_PAIRS or (np.ptp(pairs, axis=1) == 0).any():
        return None
    resampled = _spearman(*pairs[:, _rows(pairs.shape[1])])
    # A sample of equal pairs has none.
    low, high = _percentiles(resampled[np.isfinite(resampled)])
    return Estimate(float(_spearman(*pairs)), low, high, pairs.shape[1])


def mean(values: Values) -> Values:
    """Along the last axis."""
    return np.asarray(values.mean(axis=-1))


def median(values: Values) -> Values:
    """Along the last axis."""
    return np.asarray(np.median(values, axis=-1))


def slowest(values: Values) -> Values:
    """The 95 % quantile along the last axis."""
    return np.asarray(np.quantile(values, 0.95, axis=-1))


def _rows(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(SEED).integers(0, count, (RESAMPLES, count))


def _percentiles(values: Values) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return float(low), float(high)


def _spearman(first: Values, second: Values) -> NDArray[Any]:
    a, b = (rankdata(side, axis=-1) for side in (first, second))
    a, b = (side - side.mean(axis=-1, keepdims=True) for side in (a, b))
    spread = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    with np.errstate(invalid="ignore"):
        return np.asarray((a * b).sum(axis=-1) / spread)
