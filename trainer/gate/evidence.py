"""The numbers that a verdict rests on, all from the judge part of the batch.

Reserved taps are the yardstick: a corrector that was fitted to some taps must bring the others closer, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.contract.distances import statistics_loss
from service.contract.fingerprint import Fingerprint
from service.contract.statistics import ChannelMoments, TapMoments, pool, take
from trainer.measure import Measured

RESAMPLES = 200


@dataclass(frozen=True)
class Evidence:
    """One candidate against one baseline.

    Attributes:
        images: size of the judge part.
        loss_before, loss_after: statistics loss on reserved taps, baseline and candidate.
        ratio_high: 95 % quantile of their ratio over resampled images.
        reference, reference_high: loss that clean source batches of this size have, mean and 95 % quantile, or None.
        share_before, share_after: share of the most frequent predicted class.
        classes_before, classes_after: effective number of predicted classes, exp(entropy of their frequencies).
    """

    images: int
    loss_before: float
    loss_after: float
    ratio_high: float
    reference: float | None
    reference_high: float | None
    share_before: float
    share_after: float
    classes_before: float
    classes_after: float

    def numbers(self, prefix: str = "") -> dict[str, float]:
        """All of them by name, for the verdict; what is unknown is left out."""
        return {prefix + name: float(value) for name, value in vars(self).items() if value is not None}


def gather(
    baseline: Measured, candidate: Measured, fingerprint: Fingerprint, reserved: Sequence[str], *, seed: int
) -> Evidence:
    """Compare two sets of measurements of the same images."""
    source = fingerprint.moments()
    before, after = (_only(measured.moments, reserved) for measured in (baseline, candidate))
    images = len(baseline.scores)
    reference = fingerprint.reference.at(images, reserved=True) if fingerprint.reference else (None, None)
    shares = _class_shares(baseline.scores), _class_shares(candidate.scores)
    return Evidence(
        images=images,
        loss_before=statistics_loss(pool(before), source, reserved),
        loss_after=statistics_loss(pool(after), source, reserved),
        ratio_high=_ratio_high(before, after, source, reserved, images=images, seed=seed),
        reference=reference[0],
        reference_high=reference[1],
        share_before=float(shares[0].max()),
        share_after=float(shares[1].max()),
        classes_before=_effective_number(shares[0]),
        classes_after=_effective_number(shares[1]),
    )


def _ratio_high(
    before: TapMoments,
    after: TapMoments,
    source: Mapping[str, ChannelMoments],
    taps: Sequence[str],
    *,
    images: int,
    seed: int,
) -> float:
    """95 % quantile of loss_after / loss_before over bootstrap samples of the images."""
    draw = np.random.default_rng(seed)
    ratios = []
    for _ in range(RESAMPLES):
        rows = draw.integers(0, images, images)
        losses = [statistics_loss(pool(take(moments, rows)), source, taps) for moments in (before, after)]
        # Where both are zero nothing was gained: the ratio is 1.
        ratios.append((losses[1] + 1e-12) / (losses[0] + 1e-12))
    return float(np.quantile(ratios, 0.95))


def _only(moments: TapMoments, taps: Sequence[str]) -> TapMoments:
    return {name: moments[name] for name in taps}


def _class_shares(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    counts = np.bincount(scores.argmax(axis=1), minlength=scores.shape[1])
    return np.asarray(counts / counts.sum())


def _effective_number(shares: NDArray[np.float64]) -> float:
    present = shares[shares > 0]
    return float(np.exp(-(present * np.log(present)).sum()))
