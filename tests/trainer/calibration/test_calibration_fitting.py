"""A forecast that is fitted to a known law gets it back, and its errors are those on kinds that it did not see."""

import numpy as np
import pytest
from scipy.optimize import minimize

from trainer.calibration.fitting import TooFewKinds, changes_left_out, fit_forecast, fit_model, logistic, without
from trainer.calibration.states import IDENTITY, State
from trainer.gate.forecast import KEPT, forecast

SIGNALS = ("a", "b")
KINDS = ("blue", "green", "red", "grey")
WEIGHTS = np.array([0.8, -0.5])
"""Of changes of the signals, unscaled."""


def law(a: float, b: float, moved: float) -> float:
    """The change of accuracy by changes of two signals, and the share of predictions that change."""
    return float(moved * np.tanh(WEIGHTS @ [a, b] / 2.0))


def states(kind: str, count: int, draw: np.random.Generator, *, noise: float, offset: float = 0.0) -> list[State]:
    """A batch behind no corrector, behind its own and behind those of the other kinds."""
    others = [name for name in KINDS if name != kind]
    start = draw.normal(size=2)
    found = [_state(kind, IDENTITY, start, 1.0, 0.5)]
    for index in range(1, count):
        change, moved = 1.5 * draw.normal(size=2), draw.random()
        accuracy = 0.5 + 0.5 * law(*change, moved) + noise * draw.normal() + offset
        fitted_to = kind if index == 1 else others[index % len(others)]
        found.append(_state(kind, fitted_to, start + change, 1.0 - 0.5 * moved, accuracy))
    return found


def _state(kind: str, fitted_to: str, signals: np.ndarray, kept: float, accuracy: float) -> State:
    return State(
        kind=kind,
        fitted_to=fitted_to,
        stages=(),
        images=128,
        signals={"a": signals[0], "b": signals[1], KEPT: kept},
        accuracy=float(np.clip(accuracy, 0.0, 1.0)),
    )


def groups(
    batches: int = 40, *, seed: int = 0, noise: float = 0.0, offsets: dict[str, float] | None = None
) -> list[list[State]]:
    draw = np.random.default_rng(seed)
    kinds = [KINDS[index % len(KINDS)] for index in range(batches)]
    return [states(kind, 5, draw, noise=noise, offset=(offsets or {}).get(kind, 0.0)) for kind in kinds]


def test_a_known_law_is_found_again() -> None:
    model = fit_model(groups(400), SIGNALS)

    np.testing.assert_allclose(model.weights / model.scale, WEIGHTS, atol=0.01)
    change = forecast(model, {"a": 0.5, "b": -1.0}, {"a": -1.0, "b": 1.0, KEPT: 0.75}).gain
    assert change == pytest.approx(100 * law(-1.5, 2.0, 0.25), abs=0.3)


def test_weights_are_those_of_a_general_optimiser() -> None:
    draw = np.random.default_rng(3)
    z, shares, counts = draw.normal(size=(60, 3)), draw.random(60), draw.random(60)

    def value(w: np.ndarray) -> float:
        scores = z @ w
        return float(counts @ (np.logaddexp(0.0, scores) - shares * scores) + 0.5 * 2.0 * np.square(w).sum())

    expected = minimize(value, np.zeros(3), tol=1e-12).x

    np.testing.assert_allclose(logistic(z, shares, counts, ridge=2.0), expected, atol=1e-4)


def test_shares_that_a_line_divides_have_finite_weights() -> None:
    z = np.linspace(-1, 1, 50)[:, None]

    weights = logistic(z, (z[:, 0] > 0).astype(float), np.ones(50))

    assert np.isfinite(weights).all()
    assert weights[0] > 1


def test_a_corrector_that_changes_no_prediction_counts_for_nothing() -> None:
    made = groups()
    idle = _state("blue", "blue", np.array([9.0, -9.0]), 1.0, 0.1)

    model, same = fit_model(made, SIGNALS), fit_model([[*made[0], idle], *made[1:]], SIGNALS)

    np.testing.assert_allclose(same.weights / same.scale, model.weights / model.scale, rtol=0.05)


def test_the_interval_holds_nine_of_ten_new_changes() -> None:
    model = fit_forecast(groups(200, noise=0.03), SIGNALS)

    held = []
    for first, *others in groups(200, seed=1, noise=0.03):
        for state in others:
            found = forecast(model, first.signals, state.signals)
            held.append(found.low <= 100 * (state.accuracy - first.accuracy) <= found.high)
    assert 0.87 <= np.mean(held) <= 0.93


def test_a_kind_that_is_left_out_is_in_no_row_at_all() -> None:
    kept = without(groups(), "red")

    assert len(kept) == 30
    assert {"red"}.isdisjoint({name for group in kept for state in group for name in (state.kind, state.fitted_to)})
    assert {"blue", "green", "grey"} == {group[0].kind for group in kept}


def test_what_a_left_out_kind_says_of_accuracy_changes_no_forecast_of_it() -> None:
    honest, lying = groups(), groups(offsets={"red": -0.5})

    expected = [[c.expected for c in changes_left_out(made, SIGNALS) if c.kind == "red"] for made in (honest, lying)]
    measured = [[c.measured for c in changes_left_out(made, SIGNALS) if c.kind == "red"] for made in (honest, lying)]

    assert expected[0] == expected[1]
    assert measured[0] != measured[1]


def test_a_kind_unlike_the_others_widens_the_interval_on_its_side() -> None:
    honest, odd = fit_forecast(groups(), SIGNALS), fit_forecast(groups(offsets={"red": -0.3}), SIGNALS)

    sides = {"a": 0.0, "b": 0.0, KEPT: 0.5}
    assert forecast(odd, sides, sides).low < forecast(honest, sides, sides).low - 5


def test_a_signal_that_no_batch_has_or_that_never_varies_weighs_nothing() -> None:
    made = [
        [state.model_copy(update={"signals": {**state.signals, "same": 3.0}}) for state in group] for group in groups()
    ]

    model = fit_model(made, (*SIGNALS, "same", "absent"))

    assert np.array_equal(model.weights[2:], [0.0, 0.0])
    np.testing.assert_allclose(model.weights[:2], fit_model(made, SIGNALS).weights, rtol=1e-6)


def test_one_kind_alone_is_refused() -> None:
    of_one = [group for group in groups() if group[0].kind == "red"]

    with pytest.raises(TooFewKinds, match="all batches are of the kind 'red'"):
        fit_forecast(of_one, SIGNALS)
