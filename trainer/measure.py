"""Running images through corrector and frozen model, and keeping only moments and class scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from service.contract.statistics import ImageMoments
from trainer.frozen import FrozenModel

CHUNK = 256


@dataclass(frozen=True)
class Measured:
    """What is known of some images behind a corrector.

    Attributes:
        moments: per-image moments of every tap asked for.
        scores: (n, classes) of the frozen model's output, float32.
    """

    moments: dict[str, ImageMoments]
    scores: NDArray[np.float32]


@torch.no_grad()
def tap_moments(
    frozen: FrozenModel, corrector: nn.Module, images: torch.Tensor, taps: Sequence[str]
) -> dict[str, ImageMoments]:
    """Per-image moments of `taps` for images (n, C, H, W)."""
    parts = [
        {name: ImageMoments.of(value.numpy()) for name, value in frozen.taps_only(corrector(chunk), taps).items()}
        for chunk in torch.split(images, CHUNK)
    ]
    return {name: ImageMoments.concatenate([part[name] for part in parts]) for name in taps}


@torch.no_grad()
def measure(frozen: FrozenModel, corrector: nn.Module, images: torch.Tensor) -> Measured:
    """Moments of every tap that the frozen model was loaded with, and its class scores."""
    moments, scores = [], []
    for chunk in torch.split(images, CHUNK):
        outputs, taps = frozen.forward_with_taps(corrector(chunk))
        moments.append({name: ImageMoments.of(value.numpy()) for name, value in taps.items()})
        scores.append(outputs[frozen.outputs[0]].numpy().reshape(len(chunk), -1))
    merged = {name: ImageMoments.concatenate([part[name] for part in moments]) for name in frozen.taps}
    return Measured(merged, np.concatenate(scores))
