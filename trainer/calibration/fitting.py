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
from trainer.gate.forecast import MOST, changed, changes, forecast, in_units, spread

SIGNALS = ("log_loss", "nuclear_ratio", "marginal_entropy", "entropy_gap")
"""What a forecast rests on, beside the share of predictions that change; chosen on calibration kinds left out."""
RIDGE = 0.1
"""Penalty of squared weights, in units of the log-likelihood of one batch whose predictions all change."""
MOST_STEPS, SETTLED = 100, 1e-10
TAILS = (0.05, 0.95)
LEAST_SPREAD = 0.1
"""Points; a calibration on which every forecast is right must not promise that of others."""

Group = Sequence[State]
"""The states of one batch, the first without correction."""


class Change(NamedTuple):
    """From no correction to a corrector, in points: what is forecast, and what measured; and the share that changed."""

    kind: str
    expected: float
    measured: float
    changed: float


class TooFewKinds(ValueError):
    """Where one kind is left out, no other is left."""


def fit_forecast(groups: Sequence[Group], signals: Sequence[str] = SIGNALS) -> ForecastStatistics:
    """The forecast for a fingerprint: fitted to all batches, its errors those on kinds left out.

    Raises:
        TooFewKinds: no batch is left where a kind is left out.
    """
    found = changes_left_out(groups, signals)
    expected, measured, moved = np.array([change[1:] for change in found]).reshape(-1, 3).T
    grows = _spread(moved, np.abs(measured - expected))
    errors = np.quantile((measured - expected) / spread(grows, moved), TAILS)
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
                    MOST * (state.accuracy - first.accuracy),
                    changed(state.signals),
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
    """What becomes of predictions that change, by signals; every corrector of every group a row.

    A row counts by the share of predictions that it changes. Without errors if none are given.
    """
    pairs = [(first, state) for first, *others in groups for state in others]
    rows = np.array([changes(signals, first.signals, state.signals) for first, state in pairs])
    rows = rows.reshape(-1, len(signals))
    finite = np.where(np.isfinite(rows), rows, 0.0)
    scale = np.sqrt(np.square(finite).mean(axis=0)) if len(rows) else np.zeros(len(signals))
    # A signal that never changes says nothing, and its weight stays zero.
    scale[scale < SETTLED] = 1.0
    moved = np.array([changed(state.signals) for _, state in pairs])
    gains = np.array([state.accuracy - first.accuracy for first, state in pairs])
    with np.errstate(divide="ignore", invalid="ignore"):
        # Accuracy is that of other images, and may change by more than the judge part's predictions do.
        right = np.clip(np.nan_to_num(gains / moved), -1.0, 1.0)
    return ForecastStatistics(
        names=np.array(signals),
        scale=scale,
        weights=logistic(in_units(rows, scale), (right + 1.0) / 2.0, moved),
        spread=np.array([LEAST_SPREAD, 0.0]) if spread_of_errors is None else spread_of_errors,
        errors=np.zeros(2) if errors is None else errors,
        batches=np.array([float(len(groups))]),
    )


def logistic(z: Floats, shares: Floats, counts: Floats, ridge: float = RIDGE) -> Floats:
    """Weights (S,) of the logistic regression, without a constant, of shares (n,) on rows (n, S) that count (n,).

    They minimise -sum of count (y log p + (1 - y) log(1 - p)) + ridge / 2 |w|^2 by Newton's method; a step that does
    not lower it is halved.
    """

    def value(w: Floats) -> float:
        scores = z @ w
        return float(counts @ (np.logaddexp(0.0, scores) - shares * scores) + 0.5 * ridge * w @ w)

    w = np.zeros(z.shape[1])
    for _ in range(MOST_STEPS):
        p = 1.0 / (1.0 + np.exp(-(z @ w)))
        gradient = z.T @ (counts * (p - shares)) + ridge * w
        curvature = z.T @ (z * (counts * p * (1.0 - p))[:, None]) + ridge * np.eye(z.shape[1])
        step, size = np.linalg.solve(curvature, gradient), 1.0
        while value(w - size * step) > value(w) and size > SETTLED:
            size /= 2.0
        w = w - size * step
        if np.abs(gradient).max(initial=0.0) < SETTLED * len(z):
            break
    return w


def _spread(shares: Floats, sizes: Floats) -> Floats:
    """Least-squares level and slope, neither negative, of errors' sizes over the percentage of predictions changed."""
    percent = MOST * shares
    slope = max(float(np.polyfit(percent, sizes, 1)[0]), 0.0) if percent.std() > SETTLED else 0.0
    return np.array([max(float(sizes.mean() - slope * percent.mean()), LEAST_SPREAD), slope])
