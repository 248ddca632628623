"""Probabilities and entropies are those of the textbook, at the ends of their range too."""

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from trainer.gate.scores import entropies, probabilities


def test_logits_become_their_softmax() -> None:
    logits = np.log(np.array([[1.0, 2.0, 5.0], [4.0, 4.0, 2.0]]))

    np.testing.assert_allclose(probabilities(logits, "logits"), [[0.125, 0.25, 0.625], [0.4, 0.4, 0.2]], rtol=1e-12)


def test_probabilities_are_left_as_they_are() -> None:
    rows = np.array([[0.25, 0.75]], dtype=np.float32)

    assert np.array_equal(probabilities(rows, "probabilities"), rows)


def test_logits_far_beyond_float32_powers_stay_finite() -> None:
    assert np.array_equal(probabilities(np.float32([[1e4, 0.0]]), "logits"), [[1.0, 0.0]])


def test_entropy_is_scipys() -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(5), 20)

    np.testing.assert_allclose(entropies(rows), scipy_entropy(rows, axis=1), rtol=1e-12)


@pytest.mark.parametrize(("row", "expected"), [([1.0, 0.0, 0.0], 0.0), ([1 / 3] * 3, np.log(3))], ids=["sure", "even"])
def test_entropy_runs_from_nothing_to_the_logarithm_of_the_classes(row: list[float], expected: float) -> None:
    assert entropies(np.array([row]))[0] == pytest.approx(expected)
