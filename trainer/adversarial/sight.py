"""What the feature discriminator of the default fit is shown: class probabilities and the deepest tap's moments."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trainer.adversarial.game import Seen
from trainer.reading import Named
from trainer.task import Task

SMALLEST = 1e-6
"""Added to a variance before its root, whose slope at zero is infinite."""


class Sight:
    """Images as the discriminators see them, and what the frozen model says of them on the way.

    Args:
        task: its deepest fitted tap is looked at.
    """

    def __init__(self, task: Task) -> None:
        self._frozen, self._kind, self._deepest = task.frozen, task.scores, task.fitted_taps[-1]

    def of(self, images: Tensor) -> tuple[Seen, Tensor, Named]:
        """Features (n, F) beside the images, class scores (n, K), and every tap."""
        scores, taps = self._frozen.scores_and_taps(images)
        return Seen(_features(scores, taps[self._deepest], self._kind), images), scores, taps

    def features(self, images: Tensor) -> int:
        """F."""
        with torch.no_grad():
            return self.of(images[:1])[0].features.shape[1]


def _features(scores: Tensor, tap: Tensor, kind: Literal["logits", "probabilities"]) -> Tensor:
    probability = functional.softmax(scores, dim=1) if kind == "logits" else scores
    values = tap.flatten(2) if tap.dim() > 2 else tap[:, :, None]
    deviation = torch.sqrt(values.var(dim=2, correction=0) + SMALLEST)
    return torch.cat([probability, values.mean(dim=2), deviation], dim=1)
