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

MOST_DAMPING = 1e8
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
        worth: share of the loss that a step along fresh slopes must take off to go on.
        damping: at the start, as a share of each squared slope.
        step: of the differences, in every parameter.
    """

    budget: int
    goal: float = 0.0
    worth: float = 0.02
    damping: float = 1e-3
    step: float = 1e-2


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


def minimise(
    residuals: Residuals, start: Floats, *, bound: Floats, limits: Limits, cheaper: Residuals | None = None
) -> Minimum:
    """Minimise the sum of squared residuals over |theta| <= bound.

    Args:
        start: (d,), within the bounds.
        bound: (d,), positive.
        cheaper: another form of the problem that slopes are taken from.

    Returns:
        The start itself where the budget does not pay for its loss and one step.
    """
    differenced = cheaper or residuals
    place = _Place(start, residuals.of(start[None])[0], limits.damping)
    spent = residuals.cost
    while limits.goal < place.loss < np.inf and place.damping < MOST_DAMPING:
        if place.slopes is None:
            price = differenced.cost * (len(start) + 1)
            if spent + price + residuals.cost > limits.budget:
                break
            slopes = _differences(differenced, place.theta, bound, limits.step)
            place, spent = replace(place, slopes=slopes, is_fresh=True), spent + price
        if spent + residuals.cost > limits.budget:
            break
        step = _step(place, bound)
        if not step.any():
            break
        found = residuals.of((place.theta + step)[None])[0]
        spent += residuals.cost
        following = _after(place, step, found)
        if place.is_fresh and following.loss < place.loss and following.loss > (1 - limits.worth) * place.loss:
            place = following
            break
        place = _renewed(place, following, limits.worth)
    return Minimum(place.theta, place.loss, spent)


def _loss(residuals: Floats) -> float:
    loss = float(residuals @ residuals)
    return loss if np.isfinite(loss) else float("inf")


def _differences(residuals: Residuals, theta: Floats, bound: Floats, step: float) -> Floats:
    """Slopes (m, d) by one-sided differences, taken inwards where the box ends."""
    signed = np.where(theta + step > bound, -step, step)
    values = residuals.of(np.vstack([theta, theta + np.diag(signed)]))
    slopes = np.asarray((values[1:] - values[0]).T / signed)
    # A parameter that leads out of what the network can compute is left where it is.
    slopes[:, ~np.isfinite(slopes).all(axis=0)] = 0.0
    return slopes


def _step(place: _Place, bound: Floats) -> Floats:
    """The damped Gauss-Newton step within the box; parameters that are held by its walls stand still."""
    assert place.slopes is not None
    downhill = -place.slopes.T @ place.residuals
    held = (np.abs(place.theta) >= bound) & (np.sign(downhill) == np.sign(place.theta))
    free = place.slopes[:, ~held]
    if not free.any():
        return np.zeros_like(place.theta)
    steepness = np.linalg.norm(free, axis=0)
    walls = np.sqrt(place.damping) * np.diag(np.maximum(steepness, FLAT * steepness.max()))
    # As one linear least-squares problem: the normal equations would square its condition.
    system = np.vstack([free, walls])
    wanted = np.concatenate([-place.residuals, np.zeros(len(walls))])
    step = np.zeros_like(place.theta)
    step[~held] = np.linalg.lstsq(system, wanted, rcond=None)[0]
    return np.asarray(np.clip(place.theta + step, -bound, bound) - place.theta)


def _after(place: _Place, step: Floats, found: Floats) -> _Place:
    """The new place where it is lower, with updated slopes; else the old one, more damped."""
    assert place.slopes is not None
    loss = _loss(found)
    if not loss < place.loss:
        return replace(place, damping=place.damping * place.growth, growth=2 * place.growth)
    promised = place.loss - _loss(place.residuals + place.slopes @ step)
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
