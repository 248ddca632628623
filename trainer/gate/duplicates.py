"""Near-duplicates in a batch: pictures that a re-encoding or a little noise would turn into each other. Numpy only.

Each channel is averaged down to THUMBNAIL cells a side. Two images are near-duplicates if their thumbnails differ by
less than NEAR of what two images of the batch differ by in the median. A picture that was moved by a pixel is none.
"""

import numpy as np
from numpy.typing import NDArray

from service.contract.statistics import Floats

THUMBNAIL = 8
NEAR = 0.03
"""Of 4,000 real images each, MNIST and CIFAR-10 (JPEG) have no pair as near, USPS has one image in a thousand; noise
of 2 % of the span moves a thumbnail by .014 to .025."""
BLOCK = 512
"""Rows compared with all others at once: memory stays linear in the batch."""
SAMPLE = 256
"""Images that the median distance is taken from."""


def repeats(images: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which of images (n, C, H, W) have a near-duplicate among those before them, (n,).

    The first of a group is not counted. Where more than half of all pairs are alike, only exact repeats are.
    """
    small = thumbnails(images)
    limit = NEAR * _typical(small)
    squares = np.square(small).sum(axis=1)
    found = np.zeros(len(small), dtype=np.bool_)
    for start in range(0, len(small), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(small)))
        apart = squares[rows, None] + squares[: rows[-1] + 1] - 2.0 * small[rows] @ small[: rows[-1] + 1].T
        # Differences of large sums: what is left of equal rows is rounding, not distance.
        alike = apart <= max(limit**2, 1e-12 * float(squares.max(initial=0.0)))
        found[rows] = np.tril(alike, start - 1).any(axis=1)
    return found


def thumbnails(images: NDArray[np.floating]) -> Floats:
    """Means of each channel over THUMBNAIL x THUMBNAIL cells, or over single pixels where there are fewer; (n, C k l).

    Cells of a side that cannot be divided evenly share pixels, by area.
    """
    down, across = (_cells(side) for side in images.shape[2:])
    small = np.einsum("ih,nchw,jw->ncij", down, images, across, optimize=True)
    return np.asarray(small.reshape(len(images), -1), dtype=np.float64)


def _cells(side: int) -> Floats:
    """(k, side): row i averages the i-th of k equal parts of a side."""
    count = min(side, THUMBNAIL)
    edges = np.linspace(0.0, side, count + 1)
    pixel = np.arange(side)
    covered = np.minimum(pixel + 1, edges[1:, None]) - np.maximum(pixel, edges[:-1, None])
    return np.asarray(np.maximum(covered, 0.0) * count / side)


def _typical(small: Floats) -> float:
    """Median distance between two of at most SAMPLE rows, evenly spread."""
    rows = small[np.linspace(0, len(small) - 1, min(len(small), SAMPLE)).astype(int)]
    distances = np.sqrt(np.square(rows[:, None] - rows).sum(axis=2))
    pairs = distances[np.triu_indices(len(rows), 1)]
    return float(np.median(pairs)) if len(pairs) else 0.0
