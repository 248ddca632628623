"""The test on labels is the exact one: tails of a fair coin over the images that only one side gets right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from trainer.gate.labels import compare_on_labels

TRUTH = np.zeros(100, dtype=int)


def predictions(wrong: range) -> np.ndarray:
    return np.isin(np.arange(100), list(wrong)).astype(int)


def test_five_corrected_and_none_broken_has_a_chance_of_one_in_32() -> None:
    found = compare_on_labels(TRUTH, predictions(range(5)), predictions(range(0)))

    assert (found.helped, found.harmed, found.images) == (5, 0, 100)
    assert (found.help_p, found.harm_p) == pytest.approx((1 / 32, 1.0))
    assert found.gain() == pytest.approx(5.0)


def test_images_that_both_get_right_or_wrong_do_not_count() -> None:
    found = compare_on_labels(TRUTH, predictions(range(40)), predictions(range(2, 43)))

    # The baseline alone is wrong on 2, the candidate alone on 3: 26 of 32 and 16 of 32.
    assert (found.helped, found.harmed) == (2, 3)
    assert (found.help_p, found.harm_p) == pytest.approx((26 / 32, 16 / 32))


def test_another_wrong_class_is_as_wrong() -> None:
    found = compare_on_labels(np.array([0, 0]), np.array([1, 1]), np.array([2, 1]))

    assert (found.helped, found.harmed, found.help_p, found.harm_p) == (0, 0, 1.0, 1.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_chances_are_binomial_tails_and_turn_round_with_the_sides(rows: list[tuple[int, int, int]]) -> None:
    labels, baseline, candidate = np.array(rows).T

    found = compare_on_labels(labels, baseline, candidate)
    turned = compare_on_labels(labels, candidate, baseline)

    differing = found.helped + found.harmed
    assert found.help_p == pytest.approx(binom.sf(found.helped - 1, differing, 0.5))
    assert (found.help_p, found.harm_p) == (turned.harm_p, turned.help_p)
    assert found.gain() == -turned.gain()


def test_no_label_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one labelled image"):
        compare_on_labels(np.zeros(0, int), np.zeros(0, int), np.zeros(0, int))


def test_all_numbers_go_into_the_verdict() -> None:
    numbers = compare_on_labels(TRUTH, predictions(range(5)), predictions(range(0))).numbers()

    assert numbers == pytest.approx(
        {
            "labels_images": 100.0,
            "labels_helped": 5.0,
            "labels_harmed": 0.0,
            "labels_help_p": 1 / 32,
            "labels_harm_p": 1.0,
            "labels_gain": 5.0,
        }
    )
