"""Least squares without a gradient: Levenberg-Marquardt with differences for slopes, in a box. Knows no images.

The slopes are differences at first and are then kept right by every step that is taken (Broyden's rank-one update); new
differences are taken only where the old slopes no longer lead down. They may come from a cheaper form of the problem,
such as fewer images: what is minimised is the full one alone, and no step is taken that raises it.

Source: Madsen, Nielsen & Tingleff, "Methods for non-linear least squares problems" (2004), algorithms 3.16 and 3.31.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from service.contract.statistics import Floats

FLAT = 1e-8
"""A slope counts as at least this share of the steepest: what does nothing must not divide by zero."""


@dataclass(frozen=True)
class Residuals:
    """What is minimised, as a sum of squares.

    Attributes:
        of: residuals (P, m) of P parameter vectors (P, d).
        cost: what one vector costs, in units of the budget.
    """

    of: Callable[[Floats], Floats]
    cost: int = 1


@dataclass(frozen=True)
class Limits:
    """When to stop, and how to step.

    Attributes:
        budget: the most that may be spent.
        goal: the loss that is low enough.
        worth: share of the loss that a step along fresh slopes must promise, and the steps that one set of slopes
            led along must have taken off, to go on.
        damping: at the start, as a share of each squared slope.
    """

    budget: int
    goal: float = 0.0
    worth: float = 0.02
    damping: float = 1e-3


@dataclass(frozen=True)
class Minimum:
    """The best parameters found, their loss, and what was spent."""

    theta: Floats
    loss: float
    spent: int


@dataclass(frozen=True)
class _Place:
    """Where the search stands; slopes are None where they must be taken anew."""

    theta: Floats
    residuals: Floats
    damping: float
    growth: float = 2.0
    slopes: Floats | None = None
    is_fresh: bool = False

    @property
    def loss(self) -> float:
        return _loss(self.residuals)

    def promised(self, step: Floats) -> float:
        """What the slopes say that a step takes off the loss."""
        assert self.slopes is not None
        return self.loss - _loss(self.residuals + self.slopes @ step)


def minimise(
    residuals: Residuals,
    start: Floats,
    *,
    bound: Floats,
    step: Floats,
    limits: Limits,
    cheaper: Residuals | None = None,
) -> Minimum:
    """Minimise the sum of squared residuals over |theta| <= bound.

    Args:
        start: (d,), within the bounds.
        bound: (d,), positive.
        step: (d,) of the differences.
        cheaper: another form of the problem that slopes are taken from.

    Returns:
        The start itself where the budget does not pay for its loss and one step.
    """
    differenced = cheaper or residuals
    place = _Place(start, residuals.of(start[None])[0], limits.damping)
    spent, price, before = residuals.cost, differenced.cost * (len(start) + 1), np.inf
    while limits.goal < place.loss < np.inf:
        if place.slopes is None:
            was_worth_it = place.loss <= (1 - limits.worth) * before
            if not was_worth_it or spent + price + residuals.cost > limits.budget:
                break
            slopes, before = _differences(differenced, place.theta, bound, step), place.loss
            place, spent = replace(place, slopes=slopes, is_fresh=True), spent + price
        change = _step(place, bound)
        if spent + residuals.cost > limits.budget:
            break
        # Damping that grows with every failure ends here, too.
        if place.is_fresh and place.promised(change) <= limits.worth * place.loss:
            break
        found = residuals.of((place.theta + change)[None])[0]
        spent += residuals.cost
        place = _renewed(place, _after(place, change, found), limits.worth)
    return Minimum(place.theta, place.loss, spent)


def _loss(residuals: Floats) -> float:
    loss = float(residuals @ residuals)
    return loss if np.isfinite(loss) else float("inf")


def _differences(residuals: Residuals, theta: Floats, bound: Floats, step: Floats) -> Floats:
    """Slopes (m, d) by one-sided differences, taken inwards where the box ends."""
    signed = np.where(theta + step > bound, -step, step)
    values = residuals.of(np.vstack([theta, theta + np.diag(signed)]))
    slopes = np.asarray((values[1:] - values[0]).T / signed)
    # A parameter that leads out of what the network can compute is left where it is.
    slopes[:, ~np.isfinite(slopes).all(axis=0)] = 0.0
    return slopes


def _step(place: _Place, bound: Floats) -> Floats:
    """The damped Gauss-Newton step within the box: what would leave it goes to the wall, and the others make up."""
    assert place.slopes is not None
    downhill = -place.slopes.T @ place.residuals
    step = np.zeros_like(place.theta)
    fixed = (np.abs(place.theta) >= bound) & (np.sign(downhill) == np.sign(place.theta))
    while not fixed.all():
        step[~fixed] = _damped(place.slopes[:, ~fixed], place.residuals + place.slopes @ (step * fixed), place.damping)
        beyond = ~fixed & (np.abs(place.theta + step) > bound)
        if not beyond.any():
            break
        step[beyond] = (np.copysign(bound, place.theta + step) - place.theta)[beyond]
        fixed |= beyond
    return step


def _damped(slopes: Floats, residuals: Floats, damping: float) -> Floats:
    """The minimum of |residuals + slopes step|^2 + damping |D step|^2, with D the steepness of each parameter."""
    steepness = np.linalg.norm(slopes, axis=0)
    if not steepness.any():
        return np.zeros_like(steepness)
    walls = np.sqrt(damping) * np.diag(np.maximum(steepness, FLAT * steepness.max()))
    # As one linear least-squares problem: the normal equations would square its condition.
    wanted = np.concatenate([-residuals, np.zeros(len(walls))])
    return np.asarray(np.linalg.lstsq(np.vstack([slopes, walls]), wanted, rcond=None)[0])


def _after(place: _Place, step: Floats, found: Floats) -> _Place:
    """The new place where it is lower, with updated slopes; else the old one, more damped."""
    assert place.slopes is not None
    loss = _loss(found)
    if not loss < place.loss:
        return replace(place, damping=place.damping * place.growth, growth=2 * place.growth)
    promised = place.promised(step)
    gain = (place.loss - loss) / promised if promised > 0 else 0.0
    damping = place.damping * max(1 / 3, 1 - (2 * gain - 1) ** 3)
    missed = found - place.residuals - place.slopes @ step
    slopes = place.slopes + np.outer(missed, step) / (step @ step)
    return _Place(place.theta + step, found, damping, slopes=slopes)


def _renewed(before: _Place, after: _Place, worth: float) -> _Place:
    """Without slopes where old ones led nowhere, or hardly down."""
    if before.is_fresh or after.loss <= (1 - worth) * before.loss:
        return after
    # The damping is that of before: it was the slopes' fault.
    return replace(after, slopes=None, damping=min(after.damping, before.damping), growth=2.0)
