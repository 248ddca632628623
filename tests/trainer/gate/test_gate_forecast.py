"""A forecast counts the predictions that change, and says how many of them become right: arithmetic on its numbers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract.fingerprint import ForecastStatistics
from tests.trainer.gate.outcome_case import source
from trainer.gate.forecast import FARTHEST, KEPT, LOSS, forecast, signals_of
from trainer.gate.outcome import outcome_signals

MODEL = ForecastStatistics(
    names=np.array(["a", "b"]),
    scale=np.array([0.5, 2.0]),
    weights=np.array([1.0, -0.5]),
    spread=np.array([2.0, 0.1]),
    errors=np.array([-1.5, 2.0]),
    batches=np.array([10.0]),
)
numbers = st.floats(-10, 10)


def by_hand(a: float, b: float, changed: float) -> float:
    """The model above for changes of both signals, in points."""
    return 100.0 * changed * np.tanh((a / 0.5 - 0.5 * b / 2.0) / 2.0)


def test_a_change_is_what_becomes_of_the_predictions_that_change() -> None:
    found = forecast(MODEL, {"a": 1.2, "b": 0.0}, {"a": 1.7, "b": -1.0, KEPT: 0.7})

    assert found.gain == pytest.approx(by_hand(0.5, -1.0, 0.3))


def test_the_interval_grows_with_what_changes_and_need_not_be_even() -> None:
    found = forecast(MODEL, {"a": 1.2, "b": 0.0}, {"a": 1.7, "b": -1.0, KEPT: 0.7})

    unit = 2.0 + 0.1 * 30.0
    assert (found.low, found.high) == (pytest.approx(found.gain - 1.5 * unit), pytest.approx(found.gain + 2.0 * unit))


def test_where_no_prediction_changes_accuracy_does_not() -> None:
    found = forecast(MODEL, {"a": 3.0, "b": 7.0}, {"a": -3.0, "b": 9.0, KEPT: 1.0})

    assert (found.gain, found.low, found.high) == (0.0, -3.0, 4.0)


@given(numbers, numbers, numbers, numbers, st.floats(0, 1))
def test_going_back_is_forecast_as_the_opposite_and_no_gain_beyond_what_changes(
    a: float, b: float, c: float, d: float, kept: float
) -> None:
    there, back = ({"a": a, "b": b}, {"a": c, "b": d, KEPT: kept}), ({"a": c, "b": d}, {"a": a, "b": b, KEPT: kept})

    assert forecast(MODEL, *there).gain == pytest.approx(-forecast(MODEL, *back).gain, abs=1e-9)
    assert abs(forecast(MODEL, *there).gain) <= 100.0 * (1.0 - kept) + 1e-9


@pytest.mark.parametrize("missing", [{}, {"b": float("nan")}])
@pytest.mark.parametrize("turned", [False, True])
def test_a_signal_that_is_missing_on_one_side_says_nothing(missing: dict[str, float], turned: bool) -> None:
    known, unknown = {"a": 1.2, "b": -9.0, KEPT: 0.5}, {"a": 1.7, **missing, KEPT: 0.5}
    sides = (unknown, known) if turned else (known, unknown)

    found = forecast(MODEL, *sides)

    expected = by_hand(0.5, 0.0, 0.5)
    assert found.gain == pytest.approx(-expected if turned else expected)


def test_where_it_is_not_known_how_many_change_all_may() -> None:
    assert forecast(MODEL, {"a": 1.2}, {"a": 1.7}) == forecast(MODEL, {"a": 1.2}, {"a": 1.7, KEPT: 0.0})


def test_without_any_signal_nothing_is_expected_and_the_interval_stays() -> None:
    found = forecast(MODEL, {}, {KEPT: 1.0})

    assert (found.gain, found.low, found.high) == (0.0, -3.0, 4.0)


def test_signals_without_bound_count_as_the_farthest_that_were_calibrated() -> None:
    far = {"a": 0.5 * FARTHEST, "b": -2.0 * FARTHEST}

    assert forecast(MODEL, {"a": 0.0, "b": 0.0}, {"a": np.inf, "b": -np.inf}) == forecast(
        MODEL, {"a": 0.0, "b": 0.0}, far
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
    chances = np.full((8, 4), 0.25)
    outcome = outcome_signals(chances, source(labels_given=False), baseline=chances)

    found = signals_of(outcome, loss=0.1, reference=None)

    assert found == {name: value for name, value in vars(outcome).items() if value is not None}
    assert "estimated_accuracy" not in found
    assert found[KEPT] == 1.0
