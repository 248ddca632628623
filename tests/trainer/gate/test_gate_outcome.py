"""Signals are the closed forms of their definitions, and are nought where batch and source agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import wasserstein_distance

from tests.trainer.gate.outcome_case import CLASSES, drawn, source
from trainer.gate.outcome import agreement, nuclear_norm, outcome_signals
from trainer.gate.scores import entropies

SURE = np.eye(CLASSES)[np.arange(40) % CLASSES]
ONE_CLASS = np.eye(CLASSES)[np.zeros(40, dtype=int)]
UNIFORM = np.full((40, CLASSES), 1 / CLASSES)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (SURE, {"confidence": 1.0, "entropy": 0.0, "marginal_entropy": 1.0, "nuclear": 1.0}),
        (ONE_CLASS, {"confidence": 1.0, "entropy": 0.0, "marginal_entropy": 0.0, "nuclear": 0.5}),
        (UNIFORM, {"confidence": 0.25, "entropy": np.log(4), "marginal_entropy": 1.0, "nuclear": 0.25}),
    ],
    ids=["sure and balanced", "sure of one class", "uniform"],
)
def test_signals_of_predictions_alone(rows: np.ndarray, expected: dict[str, float]) -> None:
    assert outcome_signals(rows, None).numbers("") == pytest.approx(expected)


def test_the_source_itself_shows_no_gap_and_its_own_accuracy() -> None:
    statistics = source()
    assert statistics.accuracy is not None

    found = outcome_signals(drawn(2000, 0)[0], statistics)

    assert found.estimated_accuracy == pytest.approx(statistics.accuracy[0])
    assert found.confidence_gap == pytest.approx(0.0, abs=1e-12)
    assert found.entropy_gap == pytest.approx(0.0, abs=1e-12)
    assert found.marginal_distance == pytest.approx(0.0, abs=1e-12)
    # Quantiles stand for the images between them: a step of 1/256 on a range of log 4.
    assert found.entropy_distance == pytest.approx(0.0, abs=np.log(4) / 256)
    # 2,000 images against the mean of batches of 1,024 with repeats.
    assert found.nuclear_ratio == pytest.approx(1.0, abs=0.01)


def test_other_images_of_the_source_have_nearly_its_accuracy() -> None:
    probability, labels, _ = drawn(2000, 5)

    found = outcome_signals(probability, source())

    # Both shares are known to 0.7 % or better.
    assert found.estimated_accuracy == pytest.approx((probability.argmax(axis=1) == labels).mean(), abs=0.03)


def test_less_sure_predictions_move_every_signal_the_way_it_should_go() -> None:
    found = outcome_signals(drawn(1000, 5, sure=2.0)[0], source())
    clean = outcome_signals(drawn(1000, 6)[0], source())

    assert found.confidence_gap is not None and found.confidence_gap < -0.1
    assert found.entropy_gap is not None and found.entropy_gap > 0.1
    assert found.nuclear_ratio is not None and found.nuclear_ratio < 0.9
    assert found.estimated_accuracy is not None and found.estimated_accuracy < 0.8
    assert clean.estimated_accuracy is not None and clean.estimated_accuracy > 0.95
    assert clean.entropy_distance is not None
    assert found.entropy_distance is not None and found.entropy_distance > 5 * clean.entropy_distance


def test_the_entropy_distance_is_scipys_between_the_samples() -> None:
    probability, reference = drawn(300, 5, sure=3.0)[0], drawn(2000, 0)[0]

    found = outcome_signals(probability, source())

    expected = wasserstein_distance(entropies(probability), entropies(reference))
    assert found.entropy_distance == pytest.approx(expected, abs=np.log(4) / 256)


def test_the_marginal_distance_is_half_the_sum_of_differences() -> None:
    statistics = source()

    found = outcome_signals(ONE_CLASS, statistics)

    assert found.marginal_distance == pytest.approx(1.0 - statistics.mean[0])


def test_without_labels_accuracy_is_not_estimated_and_all_else_is() -> None:
    found = outcome_signals(SURE, source(labels_given=False)).numbers()

    assert "outcome_estimated_accuracy" not in found
    assert len(found) == 9


def test_agreement_is_the_share_of_equal_predictions() -> None:
    other = SURE.copy()
    other[:10] = SURE[1:11]

    found = outcome_signals(SURE, None, moved=other, baseline=SURE)

    assert (found.shift_agreement, found.kept_predictions) == (0.75, 1.0)
    assert agreement(SURE, ONE_CLASS) == 0.25


@settings(deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(2, 6)), elements=st.floats(0.01, 1)))
def test_the_nuclear_norm_lies_between_its_ends_and_forgets_the_order(weights: np.ndarray) -> None:
    rows = weights / weights.sum(axis=1, keepdims=True)

    found = nuclear_norm(rows)

    assert 1 / np.sqrt(rows.shape[1] * min(rows.shape)) - 1e-9 <= found <= 1 + 1e-9
    assert nuclear_norm(rows[::-1, ::-1]) == pytest.approx(found)
