"""What a corrector does to source images that no fit has seen, where some are kept beside the frozen model."""

from dataclasses import dataclass

import numpy as np
import torch

from trainer.corrector import Corrector
from trainer.measure import class_scores
from trainer.reading import Reading


@dataclass(frozen=True)
class Keeping:
    """How many source images are answered as without a correction.

    Attributes:
        images: that were looked at. agreement: share of them with the same class.
        is_promised: whether the corrector recognises source images, so that it must keep them.
    """

    images: int
    agreement: float
    is_promised: bool

    @property
    def lost(self) -> int:
        """How many are answered otherwise."""
        return round((1.0 - self.agreement) * self.images)

    def numbers(self) -> dict[str, float]:
        """For the verdict."""
        return {"source_images": float(self.images), "source_agreement": self.agreement}


def keeping_of(frozen: Reading, corrector: Corrector, source: torch.Tensor) -> Keeping:
    """Of source planes (n, C, H, W), n at least 1."""
    before, after = (class_scores(frozen, front, source).argmax(axis=1) for front in (Corrector(), corrector))
    return Keeping(len(source), float(np.mean(before == after)), corrector.recogniser is not None)
