"""A forecast is the difference of two accuracies: what it says follows from its numbers by arithmetic."""

from dataclasses import replace

import numpy as np
import pytest

from service.contract.fingerprint import ForecastStatistics
from tests.trainer.gate.outcome_case import source
from trainer.gate.forecast import FARTHEST, LOSS, forecast, signals_of
from trainer.gate.outcome import outcome_signals

MODEL = ForecastStatistics(
    names=np.array(["a", "b"]),
    centre=np.array([1.0, -2.0]),
    scale=np.array([0.5, 2.0]),
    weights=np.array([1.0, -0.5]),
    constant=np.array([0.3]),
    spread=np.array([2.0, 0.1]),
    errors=np.array([-1.5, 2.0]),
    batches=np.array([10.0]),
)


def accuracy(a: float, b: float) -> float:
    """The model above by hand, in percent."""
    return 100.0 / (1.0 + np.exp(-(0.3 + (a - 1.0) / 0.5 - 0.5 * (b + 2.0) / 2.0)))


def test_a_change_is_the_difference_of_two_accuracies() -> None:
    found = forecast(MODEL, {"a": 1.2, "b": 0.0}, {"a": 1.7, "b": -1.0})

    assert found.gain == pytest.approx(accuracy(1.7, -1.0) - accuracy(1.2, 0.0))


def test_the_interval_grows_with_the_change_and_need_not_be_even() -> None:
    found = forecast(MODEL, {"a": 1.2, "b": 0.0}, {"a": 1.7, "b": -1.0})

    unit = 2.0 + 0.1 * found.gain
    assert (found.low, found.high) == (pytest.approx(found.gain - 1.5 * unit), pytest.approx(found.gain + 2.0 * unit))


def test_no_change_of_signals_is_no_change_of_accuracy() -> None:
    found = forecast(MODEL, {"a": 3.0, "b": 7.0}, {"a": 3.0, "b": 7.0})

    assert (found.gain, found.low, found.high) == (0.0, -3.0, 4.0)


def test_going_back_is_forecast_as_the_opposite() -> None:
    there, back = ({"a": 1.2, "b": 0.0}, {"a": 0.2, "b": 3.0}), ({"a": 0.2, "b": 3.0}, {"a": 1.2, "b": 0.0})

    assert forecast(MODEL, *there).gain == -forecast(MODEL, *back).gain


@pytest.mark.parametrize("missing", [{}, {"b": float("nan")}])
@pytest.mark.parametrize("turned", [False, True])
def test_a_signal_that_is_missing_on_one_side_says_nothing(missing: dict[str, float], turned: bool) -> None:
    known, unknown = {"a": 1.2, "b": -9.0}, {"a": 1.7, **missing}
    sides = (unknown, known) if turned else (known, unknown)

    found = forecast(MODEL, *sides)

    expected = accuracy(1.7, -2.0) - accuracy(1.2, -2.0)
    assert found.gain == pytest.approx(-expected if turned else expected)


def test_without_any_signal_nothing_is_expected_and_the_interval_stays() -> None:
    found = forecast(MODEL, {}, {})

    assert (found.gain, found.low, found.high) == (0.0, -3.0, 4.0)


def test_signals_without_bound_count_as_the_farthest_that_were_calibrated() -> None:
    far = {"a": 1.0 + 0.5 * FARTHEST, "b": -2.0 - 2.0 * FARTHEST}

    assert forecast(MODEL, {"a": 1.0, "b": -2.0}, {"a": np.inf, "b": -np.inf}) == forecast(
        MODEL, {"a": 1.0, "b": -2.0}, far
    )


def test_no_bound_of_the_interval_is_beyond_a_hundred_points() -> None:
    wide = replace(MODEL, spread=np.array([80.0, 1.0]))

    found = forecast(wide, {"a": 1.2, "b": 0.0}, {"a": 1.7, "b": -1.0})

    assert (found.low, found.high) == (-100.0, 100.0)


def test_the_loss_counts_by_the_logarithm_of_its_ratio_to_a_clean_batchs() -> None:
    outcome = outcome_signals(np.full((4, 2), 0.5), None)

    assert signals_of(outcome, loss=0.08, reference=0.02)[LOSS] == pytest.approx(np.log(4.0))
    assert LOSS not in signals_of(outcome, loss=0.08, reference=None)


def test_all_that_is_known_of_the_outcome_is_a_signal_by_its_own_name() -> None:
    outcome = outcome_signals(np.full((8, 4), 0.25), source(labels_given=False))

    found = signals_of(outcome, loss=0.1, reference=None)

    assert found == {name: value for name, value in vars(outcome).items() if value is not None}
    assert "estimated_accuracy" not in found
