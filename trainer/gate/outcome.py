"""What class probabilities say of how a batch is classified, without labels. Numpy and scipy only.

No signal is proof: each can be right for the wrong reason, and a forecast weighs them together. Those that compare
with the source need its outcome statistics, and are None without.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr
from scipy.stats import wasserstein_distance

from service.contract.fingerprint import OutcomeStatistics
from service.contract.statistics import Floats
from trainer.gate.scores import entropies


@dataclass(frozen=True)
class OutcomeSignals:
    """Signals of one batch behind one corrector.

    Attributes:
        confidence: mean largest probability. confidence_gap: less that of the source.
        entropy: mean entropy in nats. entropy_gap: less that of the source.
        entropy_distance: Wasserstein-1 distance of the entropies to the source's, in nats.
        marginal_entropy: entropy of the mean probabilities, as a share of log K: 1 if all classes are as frequent.
        marginal_distance: total variation between the mean probabilities and the source's.
        nuclear: normalised nuclear norm. nuclear_ratio: over that of source batches of the same size.
        estimated_accuracy: share at or below the source's entropy threshold (ATC).
        shift_agreement: share whose prediction stays when the images are moved by a pixel.
        kept_predictions: share whose prediction is that of what the corrector is compared with.
    """

    confidence: float
    entropy: float
    marginal_entropy: float
    nuclear: float
    confidence_gap: float | None = None
    entropy_gap: float | None = None
    entropy_distance: float | None = None
    marginal_distance: float | None = None
    nuclear_ratio: float | None = None
    estimated_accuracy: float | None = None
    shift_agreement: float | None = None
    kept_predictions: float | None = None

    def numbers(self, prefix: str = "outcome_") -> dict[str, float]:
        """All of them by name, for the verdict; what is unknown is left out."""
        return {prefix + name: float(value) for name, value in vars(self).items() if value is not None}


def outcome_signals(
    probability: Floats,
    source: OutcomeStatistics | None,
    *,
    moved: Floats | None = None,
    baseline: Floats | None = None,
) -> OutcomeSignals:
    """Signals of class probabilities (n, K).

    Args:
        moved: those of the same images moved by a pixel, through the same corrector.
        baseline: those of the same images behind what the corrector is compared with.
    """
    entropy, confidence = entropies(probability), float(probability.max(axis=1).mean())
    marginal, nuclear = probability.mean(axis=0), nuclear_norm(probability)
    compared = {} if source is None else _compared(source, entropy, confidence, marginal, nuclear)
    return OutcomeSignals(
        confidence=confidence,
        entropy=float(entropy.mean()),
        marginal_entropy=float(entr(marginal).sum() / np.log(max(len(marginal), 2))),
        nuclear=nuclear,
        shift_agreement=None if moved is None else agreement(probability, moved),
        kept_predictions=None if baseline is None else agreement(probability, baseline),
        **compared,
    )


def _compared(
    source: OutcomeStatistics, entropy: Floats, confidence: float, marginal: Floats, nuclear: float
) -> dict[str, float | None]:
    expected = np.interp(np.log(len(entropy)), np.log(source.sizes), source.nuclear_norm)
    threshold = source.entropy_threshold
    return {
        "confidence_gap": confidence - float(source.mean_largest[0]),
        "entropy_gap": float(entropy.mean() - source.mean_entropy[0]),
        "entropy_distance": float(wasserstein_distance(entropy, source.entropy)),
        "marginal_distance": float(np.abs(marginal - source.mean).sum() / 2.0),
        "nuclear_ratio": nuclear / float(expected),
        "estimated_accuracy": None if threshold is None else float((entropy <= threshold[0]).mean()),
    }


def nuclear_norm(probability: Floats) -> float:
    """Sum of the singular values of (n, K) over its largest possible value, sqrt(n min(n, K)).

    1 if every prediction is sure and all classes are as frequent, 1 / sqrt(min(n, K)) if all are sure of one class,
    1 / sqrt(K min(n, K)) if all are uniform.

    Source: Deng et al. (2023), "Confidence and dispersity speak".
    """
    most = np.sqrt(len(probability) * min(probability.shape))
    return float(np.linalg.svd(probability, compute_uv=False).sum() / most)


def agreement(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Share of rows of two arrays (n, K) with the same largest entry."""
    return float((first.argmax(axis=1) == second.argmax(axis=1)).mean())
