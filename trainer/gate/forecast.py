"""A forecast of what a corrector does to accuracy, from signals that need no label. Numpy only.

Accuracy changes only where predictions change. Of those that do, the share that become right less the share that
become wrong is taken for tanh(z / 2), with z a weighted sum of the changes of signals: the forecast is that, times the
share of predictions that change. No change is forecast as none, and going back as the opposite. Weights and errors come
from a calibration (`trainer.calibration`) and lie in the fingerprint; nothing is fitted here.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from service.contract.fingerprint import ForecastStatistics
from service.contract.statistics import Floats
from service.contract.verdict import Forecast
from trainer.gate.outcome import OutcomeSignals

LOSS = "log_loss"
"""Name of the signal of the reserved taps."""
KEPT = "kept_predictions"
"""Name of the share of predictions that are the same after as before."""
LEAST_LOSS = 1e-12
FARTHEST = 4.0
"""Changes count as at most so many of their unit: farther out nothing was calibrated."""
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
    does not change; without KEPT all predictions may have changed.
    """
    moved = changed(after)
    gain = MOST * moved * balance(model, changes([str(name) for name in model.names], before, after))
    least, most = np.clip(gain + spread(model.spread, moved) * model.errors, -MOST, MOST)
    return Forecast(gain=gain, low=float(least), high=float(most))


def changed(after: Mapping[str, float]) -> float:
    """Share of the predictions that change, 0 to 1."""
    return 1.0 - after.get(KEPT, 0.0)


def changes(names: Sequence[str], before: Mapping[str, float], after: Mapping[str, float]) -> Floats:
    """Change of each signal (S,), 0 where it is missing on a side. An infinite one has changed without bound."""
    sides = [np.array([side.get(name, np.nan) for name in names]) for side in (before, after)]
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nan_to_num(sides[1] - sides[0], nan=0.0, posinf=np.inf, neginf=-np.inf))


def balance(model: ForecastStatistics, moved: Floats) -> float:
    """Of the predictions that change, those that become right less those that become wrong, -1 to 1."""
    return float(np.tanh(in_units(moved, model.scale) @ model.weights / 2.0))


def in_units(moved: Floats, scale: Floats) -> Floats:
    """Changes (..., S) in their units, none farther than FARTHEST."""
    return np.asarray(np.clip(moved / scale, -FARTHEST, FARTHEST))


def spread(of: Floats, share: float | Floats) -> Floats:
    """What errors of a forecast are measured in, in points, where that share of the predictions changes."""
    return np.asarray(of[0] + of[1] * MOST * share)
