"""Images of one step: how many, and which."""

import torch
from torch import Tensor

STEP_VALUES = 1 << 19
"""Input values of one kind of image in a step: of large images a step takes fewer, but FEWEST."""
FEWEST = 8


def rows_a_step(wanted: int, images: Tensor) -> int:
    """As many as wanted, or as there is room for of images (n, C, H, W) of this size."""
    return min(wanted, max(FEWEST, STEP_VALUES // images[0].numel()))


def drawn(images: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """So many images at random, each as often as it comes."""
    return images[torch.randint(len(images), (count,), generator=draw)]
