"""Whether a few images rule a fit: images that deviate from their batch, and two fits that should agree.

A batch is compared with itself alone, since all of it may be shifted: what more than half of it has in common is the
batch, and poison that is frequent is found less well than poison that is rare. Numpy only.
"""

import numpy as np
from numpy.typing import NDArray

from service.contract.statistics import Floats

IMAGES_A_DIRECTION = 8
"""Directions in which images may deviate are at most one for so many images."""
ROUNDING = 1e-9
"""Scores in units of the columns that vary less than this are what arithmetic left over."""
FAR = 6.0
"""Robust z of the distance above which an image deviates. Of 256 honest images, by channel means of the first two
taps, 0 to 2 % do in the mean and 5 % in the worst draw: trim, rather than refuse. In a batch of digits inverted,
saturated, noisy or random pictures are found nearly always, up to a tenth of it; noise of 8 grey levels is not. Among
CIFAR-10 (JPEG) pictures, which differ much more from one another, hardly any of them is: there two fits must agree."""


def deviations(values: Floats) -> Floats:
    """How far each of n images lies from the middle of its batch, (n,), as a robust z of its distance.

    Columns of `values` (n, D), such as the channel means of the first taps, are centred by their median and scaled by
    their median absolute deviation. Rows drawn onto the unit sphere then give principal directions, which no row can
    turn by its size; scores along them, one direction for IMAGES_A_DIRECTION images, are scaled in the same way again.
    The distance is the length of a row of scores, and of what lies outside of all directions. The z is negative below
    the median of the distances.

    Source: Locantore et al. (1999), "Robust principal component analysis for functional data".
    """
    scaled = _scaled(values)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    sphere = np.divide(scaled, lengths, out=np.zeros_like(scaled), where=lengths > 0)
    directions = np.linalg.svd(sphere, full_matrices=False)[2][: max(1, len(values) // IMAGES_A_DIRECTION)].T
    scores = scaled @ directions
    outside = np.linalg.norm(scaled - scores @ directions.T, axis=1, keepdims=True)
    all_scores = _scaled(np.concatenate([scores, outside], axis=1), ROUNDING)
    # A length is not negative: to lie less far outside than others is not to deviate.
    all_scores[:, -1] = np.maximum(all_scores[:, -1], 0.0)
    return _scaled(np.linalg.norm(all_scores, axis=1, keepdims=True))[:, 0]


def deviating(values: Floats) -> NDArray[np.bool_]:
    """Which of n images deviate, (n,)."""
    return deviations(values) > FAR


def central(values: Floats, share: float) -> NDArray[np.int64]:
    """Row numbers, rising, of the images that are left when the `share` that lies farthest out is trimmed."""
    kept = len(values) - int(share * len(values))
    return np.sort(np.argsort(deviations(values), kind="stable")[:kept])


def disagreement(first: NDArray[np.floating], second: NDArray[np.floating], images: NDArray[np.floating]) -> float:
    """How much two correctors differ on the same images, as a share of what they change.

    Root mean square of first - second, over the root mean square of both corrections. 0 if they are equal, sqrt(2) if
    they have nothing in common, 2 if one undoes what the other does. 0 if neither changes anything. Fits to halves of
    512 clean USPS images lay .5 and .6 apart and were equally good: more than poison of a tenth made them (.3 to .4).
    """
    corrections = np.sqrt((_power(first, images) + _power(second, images)) / 2.0)
    return float(np.sqrt(_power(first, second)) / corrections) if corrections > 0 else 0.0


def _power(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    return float(np.square(first.astype(np.float64) - second.astype(np.float64)).mean())


def _scaled(values: Floats, least: float = 0.0) -> Floats:
    """Columns less their median, over 1.4826 median absolute deviations; zero where these are not above `least`."""
    centred = values - np.median(values, axis=0)
    scale = 1.4826 * np.median(np.abs(centred), axis=0)
    return np.divide(centred, scale, out=np.zeros_like(centred), where=scale > least)
