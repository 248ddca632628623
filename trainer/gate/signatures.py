"""What an image looks like as a picture, in a few numbers: no classifier is asked.

A signature of an image with C channels is, in this order:

- mean of each channel, and standard deviation of each channel over the pixels, in the unit of the planes;
- logarithm of the mean power of its grey version in RINGS rings of spatial frequency, lowest first, without frequency
  zero. Grey is the mean of the channels.

Numpy only.
"""

import numpy as np
from numpy.typing import NDArray

from service.contract.input_spec import InputSpec
from service.contract.statistics import Floats

RINGS = 8
ROUNDING = 1.0 / 12.0 / 255.0**2
"""Variance that rounding to 8 bits makes, in squared spans: power below it says nothing of what was seen."""


def span_of(spec: InputSpec) -> float:
    """How far a model's input reaches, from its smallest to its largest value; the mean over its channels."""
    low, high = spec.plane_bounds()
    return float((high - low).mean())


def signatures(images: NDArray[np.floating], span: float) -> Floats:
    """Signatures (n, 2 C + RINGS) of planes (n, C, H, W) whose values reach over `span`.

    Power is that of the Fourier transform over the square root of the pixels, so that its mean over all frequencies is
    the variance; the variance that rounding makes is added to it.
    """
    ring = _rings(*images.shape[2:])
    counts = np.maximum(np.bincount(ring, minlength=RINGS + 1), 1)
    return np.stack([_signature(np.asarray(image, dtype=np.float64), span, ring, counts) for image in images])


def _signature(image: Floats, span: float, ring: NDArray[np.int64], counts: NDArray[np.int64]) -> Floats:
    grey = image.mean(axis=0)
    power = np.abs(np.fft.fft2(grey)) ** 2 / grey.size
    rings = np.bincount(ring, weights=power.ravel(), minlength=RINGS + 1) / counts
    logs = np.log(rings[1:] + ROUNDING * span**2)
    return np.concatenate([image.mean(axis=(1, 2)), image.std(axis=(1, 2)), logs])


def _rings(height: int, width: int) -> NDArray[np.int64]:
    """Number of each frequency's ring, 1 to RINGS, flat; 0 for frequency zero. The last takes the corners in."""
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij"))
    ring = 1 + np.minimum((radius / 0.5 * RINGS).astype(np.int64), RINGS - 1)
    return np.where(radius == 0, 0, ring).ravel()


def shrunk_covariance(rows: Floats) -> Floats:
    """Covariance (D, D) of rows (n, D), drawn towards a multiple of the identity where rows are few.

    (1 - a) S + a m I, with S the biased covariance, m its mean variance and a in [0, 1] the share that makes the
    expected squared error least. Positive definite unless all rows are alike.

    Source: Ledoit & Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices".
    """
    count, size = rows.shape
    centred = rows - rows.mean(axis=0)
    covariance = centred.T @ centred / count
    mean = np.trace(covariance) / size
    spread = np.square(covariance - mean * np.eye(size)).sum()
    # Sum over rows of |x x' - S|^2 = sum of |x|^4 - n |S|^2.
    noise = (np.square(np.square(centred).sum(axis=1)).sum() / count - np.square(covariance).sum()) / count
    share = min(noise / spread, 1.0) if spread > 0 else 0.0
    return np.asarray((1.0 - share) * covariance + share * mean * np.eye(size))
