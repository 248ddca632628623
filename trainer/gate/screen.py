"""A look at the batch before anything is fitted: which images count, and whether a correction can be called for at all.

Three questions, in this order, each with a cheap answer: is there enough that differs from one another, does the frozen
model see a shift in its answers or at its reserved taps, and is that more than other class frequencies? A "no" is the
verdict, and saves the fit: a corrector that was fitted to what is no shift in the images can only do harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.contract.distances import statistics_loss
from service.contract.fingerprint import Fingerprint
from service.contract.manifest import ModelManifest
from service.contract.statistics import TapMoments, pool, take
from service.contract.verdict import Reason, ReasonCode
from trainer.gate.label_shift import PriorEstimate, estimate_prior, explained
from trainer.gate.sanity import Fault, Sanity, examine
from trainer.gate.scores import probabilities
from trainer.gate.shift import ShiftTest, find_shift
from trainer.gate.signatures import span_of
from trainer.measure import Measured

MOST_LEFT_OUT = 0.5
"""Share of a batch that may be left out for its faults; of more, what is left is no sample of anything."""
FEWEST_LEFT = 4
"""Images that a batch needs to be divided into its parts; see `trainer.split`."""
MOST_EXPLAINED = 0.6
"""Share of the loss that class frequencies may account for; see `trainer.gate.label_shift.explained` for figures."""


@dataclass(frozen=True)
class Screening:
    """What the look says.

    Attributes:
        sanity: which images are left out.
        looks_clean: whether the loss on reserved taps is that of clean batches of this size; False if that is unknown.
        shift: None where the fingerprint has no outcome statistics. prior, explained: None also where it has no
            class-conditional ones.
    """

    sanity: Sanity
    looks_clean: bool = False
    shift: ShiftTest | None = None
    prior: PriorEstimate | None = None
    explained: float | None = None

    @property
    def rows(self) -> NDArray[np.int64]:
        """Images to go on with: those without a fault, or all where too few would be left."""
        return self.sanity.keep if self._is_fit else np.arange(self.sanity.images)

    @property
    def _is_fit(self) -> bool:
        return len(self.sanity.keep) >= max((1.0 - MOST_LEFT_OUT) * self.sanity.images, FEWEST_LEFT)

    @property
    def reason(self) -> Reason | None:
        """Why nothing should be fitted, None if something should."""
        if not self._is_fit:
            counts = {fault: len(rows) for fault, rows in self.sanity.left_out.items() if len(rows)}
            found = ", ".join(f"{count} {WORDS[fault]}" for fault, count in counts.items())
            text = f"of {self.sanity.images} images, {found}: {len(self.sanity.keep)} are left; post others"
            return Reason(code=ReasonCode.BATCH_UNFIT, text=text)
        # Of few images the test sees large shifts alone: both must be quiet.
        if self.looks_clean and self.shift is not None and not self.shift.rejected():
            text = (
                "the frozen model answers as on source images, and its reserved taps say the same; "
                f"{self.shift.words}, and not by more than chance"
            )
            return Reason(code=ReasonCode.NOTHING_TO_CORRECT, text=text)
        if self.prior is not None and self.prior.is_safe and (self.explained or 0.0) > MOST_EXPLAINED:
            text = (
                f"other class frequencies account for {self.explained:.0%} of the loss (they moved by "
                f"{self.prior.distance:.0%}): the images look like the source's"
            )
            if self.shift is not None:
                text += f"; {self.shift.words}"
            return Reason(code=ReasonCode.LABEL_SHIFT, text=text)
        return None

    def numbers(self) -> dict[str, float]:
        """All numbers by name, for the verdict; what is unknown is left out."""
        found = self.sanity.numbers()
        for part in (self.shift, self.prior):
            found |= part.numbers() if part is not None else {}
        return found | ({} if self.explained is None else {"prior_explained": self.explained})


WORDS = {
    Fault.NOT_FINITE: "hold values that are no numbers",
    Fault.FLAT: "are of one colour",
    Fault.REPEAT: "repeat another one",
    Fault.OUTLIER: "are far from all others",
}


def screen(
    images: NDArray[np.floating], measured: Measured, fingerprint: Fingerprint, manifest: ModelManifest, *, seed: int
) -> Screening:
    """Look at planes (n, C, H, W) and at what the uncorrected model says of them."""
    first = manifest.taps[0].name
    sanity = examine(images, span_of(manifest.input), measured.moments[first].first)
    source = fingerprint.outcome
    if source is None or not len(sanity.keep):
        return Screening(sanity)
    probability = probabilities(measured.scores[sanity.keep], manifest.output.scores)
    moments = take(measured.moments, sanity.keep)
    shift = find_shift(probability, source, fingerprint.images, moments[first].first)
    prior = estimate_prior(probability, source, fingerprint.class_counts, seed=seed)
    taps = [tap.name for tap in manifest.taps]
    share = None
    if prior is not None:
        share = explained(pool(moments), fingerprint, prior.prior, taps)
    return Screening(sanity, _looks_clean(moments, fingerprint, manifest.reserved_taps()), shift, prior, share)


def _looks_clean(moments: TapMoments, fingerprint: Fingerprint, reserved: Sequence[str]) -> bool:
    if fingerprint.reference is None:
        return False
    loss = statistics_loss(pool({name: moments[name] for name in reserved}), fingerprint.moments(), reserved)
    return loss <= fingerprint.reference.at(len(moments[reserved[0]]), reserved=True)[1]
