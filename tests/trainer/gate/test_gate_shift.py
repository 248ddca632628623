"""The test for a shift holds its level, whatever the numbers look like, and finds what differs."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, ks_2samp

from tests.trainer.gate.outcome_case import drawn, source
from trainer.gate.shift import ShiftTest, find_shift, ks_chance, ks_distance
from trainer.gate.source import LEVELS, quantiles

values = st.lists(st.integers(-3, 3) | st.floats(-3, 3), min_size=2, max_size=60)
"""With and without ties."""


@settings(deadline=None)
@given(values, values)
def test_the_distance_is_never_above_that_of_the_samples(first: list[float], second: list[float]) -> None:
    target, reference = np.array(first, dtype=float), np.array(second, dtype=float)

    found = ks_distance(target, quantiles(reference))

    assert 0.0 <= found <= ks_2samp(target, reference, method="asymp").statistic + 1e-12


@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0])
def test_the_distance_falls_short_by_no_more_than_a_step(shift: float) -> None:
    draw = np.random.default_rng(0)
    target, reference = draw.normal(shift, 1, 300), draw.normal(size=5000)

    exact = ks_2samp(target, reference, method="asymp").statistic

    # A step of the quantiles, and one image of the source.
    assert exact - 1 / (LEVELS - 1) - 1 / 5000 <= ks_distance(target, quantiles(reference)) <= exact


@pytest.mark.parametrize("distance", [0.05, 0.1, 0.3])
def test_the_chance_is_scipys(distance: float) -> None:
    # Steps of 1/200 each, one behind the other by the distance; half a step more keeps them from falling together.
    target, reference = np.arange(200) / 200 + distance - 1 / 400, np.arange(200) / 200

    expected = ks_2samp(target, reference, method="asymp")
    assert expected.statistic == pytest.approx(distance)
    assert ks_chance(distance, 200, 200) == pytest.approx(expected.pvalue)


SHAPES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda draw, count: draw.normal(size=count),
    "nearly all at one": lambda draw, count: 1.0 - draw.random(count) ** 40,
    "five values": lambda draw, count: draw.integers(0, 5, count).astype(float),
    "one value, mostly": lambda draw, count: np.where(draw.random(count) < 0.9, 1.0, draw.random(count)),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("images", "source_images"), [(16, 400), (128, 400), (128, 5000), (300, 300)])
def test_without_a_shift_a_twentieth_is_rejected_at_a_twentieth(
    shape: Callable[[np.random.Generator, int], np.ndarray], images: int, source_images: int
) -> None:
    draw, trials = np.random.default_rng(1), 400

    chances = [
        ks_chance(ks_distance(shape(draw, images), quantiles(shape(draw, source_images))), images, source_images)
        for _ in range(trials)
    ]

    # A test of level 5 % rejects more often than this in one simulation of a thousand.
    assert np.sum(np.array(chances) <= 0.05) <= binom.ppf(0.999, trials, 0.05)


def test_without_a_shift_all_tests_together_hold_the_level() -> None:
    rejected = 0
    for trial in range(200):
        probability, _, means = drawn(100, seed=1000 + trial)
        rejected += find_shift(probability, source(600, seed=trial), 600, means).rejected(0.05)

    assert rejected <= binom.ppf(0.999, 200, 0.05)


def test_a_shift_of_one_channel_is_found_and_named() -> None:
    probability, _, means = drawn(128, seed=7)
    means[:, 1] += 1.0

    found = find_shift(probability, source(), 2000, means)

    assert found.rejected()
    assert (found.where, found.tests) == ("channel 1 of the first tap", 4 + 1 + 3)


def test_less_sure_predictions_are_found() -> None:
    found = find_shift(drawn(256, seed=7, sure=3.0)[0], source(), 2000)

    assert found.rejected()
    assert (found.where, found.tests) == ("entropy", 5)


def test_a_class_that_is_missing_is_found() -> None:
    probability, labels, _ = drawn(512, seed=7)

    found = find_shift(probability[labels != 2], source(), 2000)

    assert found.rejected()
    assert found.where == "probability of class 2"


def test_the_smallest_chance_is_multiplied_by_the_tests() -> None:
    probability, _, means = drawn(64, seed=7)
    means[:, 0] += 0.5

    found = find_shift(probability, source(), 2000, means)

    assert found.p == pytest.approx(8 * ks_chance(found.distance, 64, 2000))


def test_a_chance_never_exceeds_one() -> None:
    assert find_shift(drawn(40, seed=3)[0], source(), 2000).p <= 1.0


def test_the_numbers_are_named_for_the_verdict() -> None:
    found = ShiftTest(p=0.02, where="entropy", distance=0.3, tests=5)

    assert found.numbers() == {"shift_p": 0.02, "shift_distance": 0.3, "shift_tests": 5.0}
    assert (found.rejected(0.05), found.rejected(0.01)) == (True, False)
