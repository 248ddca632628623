"""Intervals are those of the textbook, and cover as often as they say."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from trainer.studies.gauntlet.intervals import bootstrapped, mean, median, rank_correlation, share, slowest


@pytest.mark.parametrize(("hits", "count"), [(0, 20), (1, 300), (7, 20), (20, 20)])
def test_a_share_has_wilsons_interval(hits: int, count: int) -> None:
    found = share([True] * hits + [False] * (count - hits))

    z, p = 1.959964, hits / count
    middle = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    assert found == pytest.approx((100 * p, 100 * (middle - half), 100 * (middle + half), count), abs=1e-3)


def test_nothing_has_no_estimate() -> None:
    assert share([]) is None
    assert bootstrapped([], mean) is None
    assert rank_correlation([1, 2], [1, 2]) is None
    assert rank_correlation([1, 2, 3], [5, 5, 5]) is None


def test_a_bootstrapped_mean_has_the_interval_of_a_normal_mean() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400).tolist()

    found = bootstrapped(values, mean)

    error = np.std(values) / 20
    assert found is not None
    assert found.value == pytest.approx(np.mean(values))
    # Percentiles of 1,000 resamples are good to a tenth of a standard error or two.
    assert (found.low, found.high) == pytest.approx(
        (found.value - 1.96 * error, found.value + 1.96 * error), abs=0.25 * error
    )


def test_medians_and_slowest_are_quantiles_and_one_value_has_no_width() -> None:
    values = [float(value) for value in range(101)]

    assert bootstrapped(values, median).value == 50
    assert bootstrapped(values, slowest).value == 95
    assert bootstrapped([4.0], median) == (4, 4, 4, 1)


def test_a_rank_correlation_is_scipys_ties_and_all_and_the_same_each_time() -> None:
    draw = np.random.default_rng(1)
    first = draw.integers(0, 8, 60).astype(float)
    second = first + draw.normal(0, 3, 60)

    found, again = (rank_correlation(first.tolist(), second.tolist()) for _ in range(2))

    assert found == again
    assert found.value == pytest.approx(spearmanr(first, second).statistic)
    assert found.low < found.value < found.high < 1


def test_few_pairs_of_few_values_still_have_an_interval() -> None:
    found = rank_correlation([1, 1, 2], [1, 1, 2])

    assert found == (pytest.approx(1), pytest.approx(1), pytest.approx(1), 3)
