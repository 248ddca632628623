"""A second look at class frequencies, behind a first corrector: that classes are more or less frequent is no shift.

Behind a shift predictions say little of the classes; behind a correction they do. Where they then tell of other
frequencies than the source's, and the taps confirm it, the source's moments are re-weighted and the fit begins anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.contract.fingerprint import Fingerprint
from service.contract.statistics import pool
from trainer.gate.label_shift import PriorEstimate, estimate_prior, explained, reweighted
from trainer.gate.scores import probabilities
from trainer.measure import Measured

LEAST_MOVED, LEAST_NOISES = 0.10, 2.0
"""Frequencies count as others if they moved by that much, and by so many times the estimate's noise."""
LEAST_EXPLAINED = 0.25
"""Share of the loss behind the first corrector that they must account for: .41 to .96 on skewed and shifted batches."""


@dataclass(frozen=True)
class Reweighting:
    """A source with the class frequencies of a batch.

    Attributes:
        fingerprint: the source's, its taps re-weighted. Its pixels are not: nobody knows them class by class.
        prior: the frequencies. explained: share of the loss that they account for.
    """

    fingerprint: Fingerprint
    prior: PriorEstimate
    explained: float

    def numbers(self) -> dict[str, float]:
        """The numbers by name, for the verdict."""
        return self.prior.numbers("reweighted_") | {"reweighted_explained": self.explained}


def reweigh(
    measured: Measured,
    fingerprint: Fingerprint,
    taps: Sequence[str],
    *,
    scores: Literal["logits", "probabilities"],
    seed: int,
) -> Reweighting | None:
    """The source as images behind a first corrector want it; None where it is to stay as it is.

    Args:
        measured: of the images that a method may see, behind the corrector, at these taps.
        scores: what the frozen model's output is.
    """
    if fingerprint.outcome is None:
        return None
    chances = probabilities(measured.scores, scores)
    prior = estimate_prior(chances, fingerprint.outcome, fingerprint.class_counts, seed=seed)
    if prior is None or not prior.is_safe or prior.distance < max(LEAST_MOVED, LEAST_NOISES * prior.noise):
        return None
    share = explained(pool(measured.moments), fingerprint, prior.prior, taps)
    if not share >= LEAST_EXPLAINED:
        return None
    moments = reweighted(fingerprint, prior.prior)
    changed = {name: replace(fingerprint.taps[name], mean=tap.mean, var=tap.var) for name, tap in moments.items()}
    return Reweighting(replace(fingerprint, taps={**fingerprint.taps, **changed}), prior, share)
