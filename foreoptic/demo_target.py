"""The demo's target: digits of other writers from another scanner (UCI optdigits), which scikit-learn ships."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

POSTED = 512
LEVELS = 16
"""Grey levels of a scanned 8x8 digit are counts of ink from 0 to 16."""


@dataclass(frozen=True)
class Target:
    """The images, cut in two by the seed.

    Attributes:
        posted, measured: (n, 8, 8) uint8; what the service is adapted to, and what accuracy is counted on.
        posted_labels, measured_labels: (n,), for the yardstick and for counting.
    """

    posted: NDArray[np.uint8]
    posted_labels: NDArray[np.int64]
    measured: NDArray[np.uint8]
    measured_labels: NDArray[np.int64]


def load_target(seed: int) -> Target:
    """The images as pixels, 512 to post and 1,285 to count on."""
    digits = load_digits()
    images = np.round(digits.images * (255 / LEVELS)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(images))
    posted, measured = order[:POSTED], order[POSTED:]
    return Target(images[posted], labels[posted], images[measured], labels[measured])


def png(image: NDArray[np.uint8]) -> bytes:
    """One grey picture as PNG."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
