"""Correctors that need no look into the network: from the pixels' statistics of source and target alone, in numpy."""

from collections.abc import Iterator

import numpy as np

from service.contract.fingerprint import PixelStatistics
from service.contract.statistics import Complex, Floats
from trainer.forward.families import Part, apply
from trainer.forward.kernels import channel_affine, colour_matrix, pointwise
from trainer.forward.patterns import Pattern
from trainer.forward.tap_graph import Planes
from trainer.frame import Frame
from trainer.spectra import transport

SMALLEST = 1e-6
"""A channel's deviation counts as at least that: flat pictures have no contrast to be raised."""


def matching_colours(frame: Frame, pixels: PixelStatistics, planes: Planes) -> Iterator[tuple[Part, ...]]:
    """Every channel's mean and deviation brought to the source's, upright and inverted; and of colours the covariance.

    The last by the optimal transport between two Gaussians, see `trainer.spectra.transport`.
    """
    flat = planes.transpose(1, 0, 2, 3).reshape(frame.shape[0], -1).astype(np.float64)
    mean, covariance = flat.mean(axis=1), np.atleast_2d(np.cov(flat))
    gain = np.sqrt(np.diag(pixels.cov)) / np.maximum(np.sqrt(np.diag(covariance)), SMALLEST)
    affine = channel_affine(frame)
    for sign in (1.0, -1.0):
        yield ((affine, pointwise(affine, np.diag(sign * gain), pixels.mean - sign * gain * mean)),)
    if frame.shape[0] > 1:
        colour = colour_matrix(frame)
        matrix = transport(_at_one_frequency(pixels.cov), _at_one_frequency(covariance))[:, :, 0, 0]
        yield ((colour, pointwise(colour, matrix, pixels.mean - matrix @ mean)),)


def matching_pattern(pattern: Pattern, wanted: Floats, parts: tuple[Part, ...], planes: Planes) -> Floats:
    """Theta of the bias image behind `parts` that brings the mean picture closest to `wanted`, or its levels alone."""
    mean = apply(parts, planes).mean(axis=0, dtype=np.float64)
    return pattern.closest(wanted - (mean if wanted.shape == mean.shape else mean.mean(axis=(1, 2), keepdims=True)))


def _at_one_frequency(covariance: Floats) -> Complex:
    return covariance[:, :, None, None].astype(np.complex128)
