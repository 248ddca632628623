"""From the states of many batches to a forecast, with errors measured on kinds that were left out. Numpy only.

A kind that is left out is in no row that the model is then fitted to: neither as the kind of a batch, nor as that which
a corrector was fitted to.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from service.contract.fingerprint import ForecastStatistics
from service.contract.statistics import Floats
from trainer.calibration.states import State
from trainer.gate.forecast import forecast, spread

SIGNALS = ("log_loss", "nuclear_ratio", "marginal_entropy", "entropy_gap")
"""What a forecast rests on: of fifteen sets the smallest of those that did best on calibration kinds left out. On 34
batches of MNIST its mean error was 2.5 points; of the loss alone 8.3, of the nuclear ratio alone 3.4. Confidence,
distances to the source, ATC and agreement under a shift by a pixel added nothing."""
RIDGE = 1.0
"""Penalty of squared weights, in units of one row's log-likelihood."""
MOST_STEPS, SETTLED = 100, 1e-10
TAILS = (0.05, 0.95)
LEAST_SPREAD = 0.1
"""Points; a calibration on which every forecast is right must not promise that of others."""

Group = Sequence[State]
"""The states of one batch, the first without correction."""


class Change(NamedTuple):
    """From no correction to a corrector, in points: what is forecast, and what measured."""

    kind: str
    expected: float
    measured: float


class TooFewKinds(ValueError):
    """Where one kind is left out, no other is left."""


def fit_forecast(groups: Sequence[Group], signals: Sequence[str] = SIGNALS) -> ForecastStatistics:
    """The forecast for a fingerprint: fitted to all batches, its errors those on kinds left out.

    Raises:
        TooFewKinds: no batch is left where a kind is left out.
    """
    changes = changes_left_out(groups, signals)
    expected, measured = (np.array([getattr(change, side) for change in changes]) for side in ("expected", "measured"))
    grows = _spread(np.abs(expected), np.abs(measured - expected))
    errors = np.quantile((measured - expected) / spread(grows, expected), TAILS)
    return fit_model(groups, signals, spread_of_errors=grows, errors=errors)


def changes_left_out(groups: Sequence[Group], signals: Sequence[str] = SIGNALS) -> list[Change]:
    """Each kind's changes as a model expects them that was fitted to the other kinds alone."""
    found = []
    for kind in dict.fromkeys(group[0].kind for group in groups):
        model = fit_model(without(groups, kind), signals)
        for first, *others in (group for group in groups if group[0].kind == kind):
            found += [
                Change(
                    kind,
                    forecast(model, first.signals, state.signals).gain,
                    100.0 * (state.accuracy - first.accuracy),
                )
                for state in others
            ]
    return found


def without(groups: Sequence[Group], kind: str) -> list[list[State]]:
    """The groups that know nothing of a kind.

    Raises:
        TooFewKinds: there is none.
    """
    kept = [[state for state in group if state.fitted_to != kind] for group in groups if group[0].kind != kind]
    if not kept:
        raise TooFewKinds(f"all batches are of the kind '{kind}'; at least two kinds are needed")
    return kept


def fit_model(
    groups: Sequence[Group],
    signals: Sequence[str] = SIGNALS,
    *,
    spread_of_errors: Floats | None = None,
    errors: Floats | None = None,
) -> ForecastStatistics:
    """Accuracy by signals, every state of every group a row; without errors if none are given."""
    states = [state for group in groups for state in group]
    rows = np.array([[state.signals.get(name, np.nan) for name in signals] for state in states])
    rows[~np.isfinite(rows)] = np.nan
    known = [column[~np.isnan(column)] for column in rows.T]
    centre = np.array([column.mean() if len(column) else 0.0 for column in known])
    scale = np.array([column.std() if len(column) else 0.0 for column in known])
    # A signal that never varies says nothing, and its weight stays zero.
    scale[scale < SETTLED] = 1.0
    z = np.nan_to_num((rows - centre) / scale)
    weights = logistic(z, np.array([state.accuracy for state in states]))
    return ForecastStatistics(
        names=np.array(signals),
        centre=centre,
        scale=scale,
        weights=weights[:-1],
        constant=weights[-1:],
        spread=np.array([LEAST_SPREAD, 0.0]) if spread_of_errors is None else spread_of_errors,
        errors=np.zeros(2) if errors is None else errors,
        batches=np.array([float(len(groups))]),
    )


def logistic(z: Floats, shares: Floats, ridge: float = RIDGE) -> Floats:
    """Weights (S + 1,), the constant last, of the logistic regression of shares (n,) on rows (n, S).

    They minimise -sum of y log p + (1 - y) log(1 - p) + ridge / 2 |w|^2, the constant free of penalty, by Newton's
    method; a step that does not lower it is halved.
    """
    x = np.column_stack([z, np.ones(len(z))])
    penalty = ridge * np.append(np.ones(z.shape[1]), 1e-6)

    def value(w: Floats) -> float:
        scores = x @ w
        return float(np.sum(np.logaddexp(0.0, scores) - shares * scores) + 0.5 * penalty @ w**2)

    w = np.zeros(x.shape[1])
    for _ in range(MOST_STEPS):
        p = 1.0 / (1.0 + np.exp(-(x @ w)))
        gradient = x.T @ (p - shares) + penalty * w
        curvature = x.T @ (x * (p * (1.0 - p))[:, None]) + np.diag(penalty)
        step, size = np.linalg.solve(curvature, gradient), 1.0
        while value(w - size * step) > value(w) and size > SETTLED:
            size /= 2.0
        w = w - size * step
        if np.abs(gradient).max() < SETTLED * len(x):
            break
    return w


def _spread(changes: Floats, sizes: Floats) -> Floats:
    """Least-squares level and slope, neither negative, of errors' sizes over those of the changes that are forecast."""
    varies = changes.std() > SETTLED
    slope = max(float(np.polyfit(changes, sizes, 1)[0]), 0.0) if varies else 0.0
    return np.array([max(float(sizes.mean() - slope * changes.mean()), LEAST_SPREAD), slope])
