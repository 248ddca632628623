"""Running images through corrector and frozen model, and keeping only moments and class scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from service.contract.statistics import ImageMoments, take
from trainer.reading import Reading

MOST_IMAGES = 256
MOST_VALUES = 1 << 20
"""Input values in one pass: activations of all taps take a hundred times as much, and must fit in memory together."""


@dataclass(frozen=True)
class Measured:
    """What is known of some images behind a corrector.

    Attributes:
        moments: per-image moments of every tap asked for.
        scores: (n, classes) of the frozen model's output, float32.
    """

    moments: dict[str, ImageMoments]
    scores: NDArray[np.float32]

    def of_rows(self, rows: NDArray[np.int64]) -> "Measured":
        """What is known of some of the images, copied: the rest can be let go."""
        return Measured(take(self.moments, rows), self.scores[rows])


def chunks(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Images (n, C, H, W) in pieces that are small enough for one pass."""
    most = max(1, min(MOST_IMAGES, MOST_VALUES // images[0].numel()))
    return tuple(images.split(most))  # type: ignore[no-untyped-call]  # torch leaves it untyped


@torch.no_grad()
def tap_moments(
    frozen: Reading, corrector: nn.Module, images: torch.Tensor, taps: Sequence[str]
) -> dict[str, ImageMoments]:
    """Per-image moments of `taps` for images (n, C, H, W)."""
    parts = [
        {name: ImageMoments.of(value.numpy()) for name, value in frozen.taps_only(corrector(chunk), taps).items()}
        for chunk in chunks(images)
    ]
    return {name: ImageMoments.concatenate([part[name] for part in parts]) for name in taps}


@torch.no_grad()
def measure(
    frozen: Reading, corrector: nn.Module, images: torch.Tensor, done: Callable[[float], None] = lambda _share: None
) -> Measured:
    """Moments of every tap that the frozen model was loaded with, and its class scores; `done` is told the share."""
    moments, scores = [], []
    for chunk in chunks(images):
        found, taps = frozen.scores_and_taps(corrector(chunk))
        moments.append({name: ImageMoments.of(value.numpy()) for name, value in taps.items()})
        scores.append(found.numpy())
        done(sum(map(len, scores)) / len(images))
    merged = {name: ImageMoments.concatenate([part[name] for part in moments]) for name in frozen.taps}
    return Measured(merged, np.concatenate(scores))


@torch.no_grad()
def class_scores(frozen: Reading, corrector: nn.Module, images: torch.Tensor) -> NDArray[np.float32]:
    """Class scores (n, classes) for images (n, C, H, W)."""
    return np.concatenate([frozen.scores_and_taps(corrector(chunk))[0].numpy() for chunk in chunks(images)])
