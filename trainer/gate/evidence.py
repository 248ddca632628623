"""The numbers that a verdict rests on, all from the judge part of the batch.

Reserved taps are the yardstick: a corrector that was fitted to some taps must bring the others closer, too. Labels say
more, where there are some. The outcome signals decide nothing by themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.contract.distances import statistics_loss
from service.contract.fingerprint import Fingerprint
from service.contract.job import UNKNOWN
from service.contract.statistics import ChannelMoments, Floats, TapMoments, pool, take
from trainer.gate.labels import Classes, LabelEvidence, compare_on_labels
from trainer.gate.outcome import OutcomeSignals, outcome_signals
from trainer.gate.scores import probabilities
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
        outputs: classes that the frozen model tells apart.
        outcome_before, outcome_after: what class probabilities say. A forecast of accuracy takes these and the losses.
        labels: what they say, None where no image of the judge part has one.
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
    outputs: int | None = None
    outcome_before: OutcomeSignals | None = None
    outcome_after: OutcomeSignals | None = None
    labels: LabelEvidence | None = None

    def numbers(self, prefix: str = "") -> dict[str, float]:
        """All of them by name, for the verdict; what is unknown is left out."""
        found: dict[str, float] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, OutcomeSignals | LabelEvidence):
                found |= value.numbers(f"{prefix}{field.name}_")
            elif value is not None:
                found[prefix + field.name] = float(value)
        return found


def gather(
    baseline: Measured,
    candidate: Measured,
    fingerprint: Fingerprint,
    reserved: Sequence[str],
    *,
    scores: Literal["logits", "probabilities"],
    seed: int,
    labels: Classes | None = None,
) -> Evidence:
    """Compare two sets of measurements of the same images.

    Args:
        scores: what the frozen model's output is.
        labels: (n,), UNKNOWN where an image has none.
    """
    source = fingerprint.moments()
    before, after = (_only(measured.moments, reserved) for measured in (baseline, candidate))
    images = len(baseline.scores)
    reference = fingerprint.reference.at(images, reserved=True) if fingerprint.reference else (None, None)
    shares = _class_shares(baseline.scores), _class_shares(candidate.scores)
    chances = [probabilities(measured.scores, scores) for measured in (baseline, candidate)]
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
        outputs=chances[0].shape[1],
        outcome_before=_signals(chances[0], fingerprint),
        outcome_after=_signals(chances[1], fingerprint, baseline=chances[0]),
        labels=None if labels is None else _on_labels(labels, baseline, candidate),
    )


def _signals(chances: Floats, fingerprint: Fingerprint, baseline: Floats | None = None) -> OutcomeSignals | None:
    # A corrector may drive a model of half precision beyond its numbers; the losses then say so.
    if not np.isfinite(chances).all():
        return None
    return outcome_signals(chances, fingerprint.outcome, baseline=baseline)


def _on_labels(labels: Classes, baseline: Measured, candidate: Measured) -> LabelEvidence | None:
    known = labels != UNKNOWN
    if not known.any():
        return None
    return compare_on_labels(labels[known], *(side.scores[known].argmax(axis=1) for side in (baseline, candidate)))


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
