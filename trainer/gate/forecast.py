"""A forecast of what a corrector does to accuracy, from signals that need no label. Numpy only.

Accuracy of a batch behind a corrector is taken for a logistic function of a weighted sum of signals; the forecast is
the difference of two such values, before and after. Weights and errors come from a calibration (`trainer.calibration`)
and lie in the fingerprint; nothing is fitted here.
"""

from collections.abc import Mapping

import numpy as np

from service.contract.fingerprint import ForecastStatistics
from service.contract.statistics import Floats
from service.contract.verdict import Forecast
from trainer.gate.outcome import OutcomeSignals

LOSS = "log_loss"
"""Name of the signal of the reserved taps."""
LEAST_LOSS = 1e-12
FARTHEST = 4.0
"""Signals count as at most so many deviations from their centre: farther out nothing was calibrated."""
MOST = 100.0
"""Points that accuracy can change."""


def signals_of(outcome: OutcomeSignals, *, loss: float, reference: float | None) -> dict[str, float]:
    """All signals of a batch behind a corrector, by name; what is unknown is left out.

    Args:
        loss: statistics loss on reserved taps. reference: that of an average clean batch of the same size; both enter
            as the logarithm of their ratio.
    """
    found = outcome.numbers("")
    if reference is not None:
        found[LOSS] = float(np.log((loss + LEAST_LOSS) / (reference + LEAST_LOSS)))
    return found


def forecast(model: ForecastStatistics, before: Mapping[str, float], after: Mapping[str, float]) -> Forecast:
    """The change of accuracy, in points, from one corrector to another in front of the same batch.

    Its interval holds 90 % of the errors on kinds of shift that were left out. A signal that is missing on either side
    says nothing: it stands at its centre on both.
    """
    rows = np.array([[side.get(str(name), np.nan) for name in model.names] for side in (before, after)])
    known = ~np.isnan(rows).any(axis=0)
    low, high = accuracies(model, np.where(known, rows, model.centre))
    change = float(MOST * (high - low))
    errors = spread(model.spread, change) * model.errors
    least, most = np.clip(change + errors, -MOST, MOST)
    return Forecast(gain=change, low=float(least), high=float(most))


def accuracies(model: ForecastStatistics, rows: Floats) -> Floats:
    """Expected accuracy, 0 to 1, of rows of signals (n, S) of which none is missing."""
    z = np.clip((rows - model.centre) / model.scale, -FARTHEST, FARTHEST)
    return np.asarray(1.0 / (1.0 + np.exp(-(z @ model.weights + model.constant[0]))))


def spread(of: Floats, change: float | Floats) -> Floats:
    """What errors of a forecast change, in points, are measured in."""
    return np.asarray(of[0] + of[1] * np.abs(change))
