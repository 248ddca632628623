"""Least squares by differences, held to scipy's and to closed forms."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from trainer.forward.levenberg_marquardt import Limits, Residuals, minimise

WIDE = np.array([10.0, 10.0])
TINY, PLAIN = np.full(2, 1e-6), np.full(2, 1e-2)
FINE = Limits(budget=2000, worth=1e-9)


def each(residuals) -> Residuals:
    return Residuals(lambda thetas: np.stack([residuals(theta) for theta in thetas]))


def rosenbrock(theta: np.ndarray) -> np.ndarray:
    return np.array([10 * (theta[1] - theta[0] ** 2), 1 - theta[0]])


class Counted:
    """Rosenbrock's residuals, and how often they were asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, thetas: np.ndarray) -> np.ndarray:
        self.calls += len(thetas)
        return np.stack([rosenbrock(theta) for theta in thetas])


def test_a_linear_problem_is_solved_in_one_step() -> None:
    draw = np.random.default_rng(0)
    matrix, wanted = draw.normal(size=(9, 4)), draw.normal(size=9)
    # The start, differences in four directions and their own start, one step.
    limits, step = Limits(budget=1 + 5 + 1, damping=1e-12), np.full(4, 0.01)

    found = minimise(each(lambda t: matrix @ t - wanted), np.zeros(4), bound=np.full(4, 10.0), step=step, limits=limits)

    np.testing.assert_allclose(found.theta, np.linalg.lstsq(matrix, wanted, rcond=None)[0], atol=1e-8)
    assert 7 == found.spent


def test_rosenbrock_s_valley_is_followed_to_its_end() -> None:
    start = np.array([-1.2, 1.0])

    found = minimise(each(rosenbrock), start, bound=WIDE, step=TINY, limits=FINE)

    np.testing.assert_allclose(found.theta, least_squares(rosenbrock, start).x, atol=1e-4)


def test_parameters_that_reach_a_wall_stay_there_and_the_others_go_on() -> None:
    start, bound = np.array([-0.4, 1.0]), np.array([0.5, 2.0])

    found = minimise(each(rosenbrock), start, bound=bound, step=TINY, limits=FINE)

    expected = least_squares(rosenbrock, start, bounds=(-bound, bound))
    np.testing.assert_allclose(found.theta, expected.x, atol=1e-4)
    # scipy's cost is half the sum of squares.
    assert found.loss == pytest.approx(2 * expected.cost, rel=1e-3)


@pytest.mark.parametrize("budget", [1, 2, 4, 5, 6, 11, 23])
def test_no_more_is_spent_than_there_is(budget) -> None:
    residuals, start = Counted(), np.array([-1.2, 1.0])

    found = minimise(Residuals(residuals), start, bound=WIDE, step=PLAIN, limits=Limits(budget))

    assert residuals.calls == found.spent <= budget
    assert found.loss <= np.sum(np.square(rosenbrock(start)))


def test_a_budget_without_a_step_leaves_the_start() -> None:
    start = np.array([-1.2, 1.0])

    found = minimise(each(rosenbrock), start, bound=WIDE, step=PLAIN, limits=Limits(budget=4))

    np.testing.assert_array_equal(start, found.theta)


def test_it_stops_where_the_loss_is_low_enough() -> None:
    limits = Limits(budget=2000, goal=1.0, worth=1e-9)

    found = minimise(each(rosenbrock), np.array([-1.2, 1.0]), bound=WIDE, step=TINY, limits=limits)
    onwards = minimise(each(rosenbrock), np.array([-1.2, 1.0]), bound=WIDE, step=TINY, limits=FINE)

    assert 1e-6 < found.loss <= 1.0
    assert found.spent < onwards.spent


def test_slopes_of_a_cheaper_problem_lead_to_the_minimum_of_the_full_one() -> None:
    draw = np.random.default_rng(1)
    matrix, wanted = draw.normal(size=(12, 3)), draw.normal(size=12)
    cheaper = matrix + 0.1 * draw.normal(size=matrix.shape)

    def curved(mixed: np.ndarray) -> Residuals:
        return each(lambda t: np.tanh(0.2 * mixed @ t) - 0.1 * wanted)

    found = minimise(
        curved(matrix),
        np.zeros(3),
        bound=np.full(3, 5.0),
        step=np.full(3, 1e-2),
        limits=Limits(4000, worth=1e-6),
        cheaper=curved(cheaper),
    )

    best = 2 * least_squares(lambda t: np.tanh(0.2 * matrix @ t) - 0.1 * wanted, np.zeros(3)).cost
    # The cheaper slopes are a tenth off, and a loss is flat around its minimum: a hundredth above it.
    assert best <= found.loss + 1e-12 <= 1.03 * best


def test_a_place_that_cannot_be_computed_is_not_gone_to() -> None:
    def broken(theta: np.ndarray) -> np.ndarray:
        return np.array([theta[0] - 3.0, theta[1]]) if theta[0] < 1.0 else np.full(2, np.nan)

    found = minimise(each(broken), np.zeros(2), bound=WIDE, step=PLAIN, limits=Limits(200))

    assert 0.5 < found.theta[0] < 1.0
    assert np.isfinite(found.loss)


def test_a_start_that_cannot_be_computed_is_given_back() -> None:
    found = minimise(each(lambda t: t * np.nan), np.ones(2), bound=WIDE, step=PLAIN, limits=Limits(200))

    assert (1, np.inf) == (found.spent, found.loss)
