"""What a few labels say of a candidate: an exact test on the images that only one of two predictions gets right.

Numpy and scipy only. Source: McNemar (1947), "Note on the sampling error of the difference between correlated
proportions or percentages", in its exact form.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Classes = NDArray[np.integer]


@dataclass(frozen=True)
class LabelEvidence:
    """A candidate against a baseline on labelled images.

    Attributes:
        images: how many have labels.
        helped: right by the candidate alone. harmed: right by the baseline alone.
        help_p, harm_p: chance of that many or more, if both are equally often right.
    """

    images: int
    helped: int
    harmed: int
    help_p: float
    harm_p: float

    def gain(self) -> float:
        """Change of accuracy on these images, in percentage points."""
        return 100.0 * (self.helped - self.harmed) / self.images

    def numbers(self, prefix: str = "labels_") -> dict[str, float]:
        """All of them by name, for the verdict."""
        return {prefix + name: float(value) for name, value in vars(self).items()} | {prefix + "gain": self.gain()}


def compare_on_labels(labels: Classes, baseline: Classes, candidate: Classes) -> LabelEvidence:
    """Compare predicted classes with labels, three arrays (n,).

    Raises:
        ValueError: there is no label.
    """
    if len(labels) == 0:
        raise ValueError("a comparison on labels needs at least one labelled image, got none")
    was_right, is_right = baseline == labels, candidate == labels
    helped, harmed = int((is_right & ~was_right).sum()), int((was_right & ~is_right).sum())
    return LabelEvidence(
        len(labels), helped, harmed, _chance(helped, helped + harmed), _chance(harmed, helped + harmed)
    )


def _chance(count: int, of: int) -> float:
    """Chance of `count` or more heads in `of` throws."""
    return float(binomtest(count, of, 0.5, alternative="greater").pvalue) if of else 1.0
