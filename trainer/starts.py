"""Where fits begin: closed forms and grids, each a list of stages that are compared on a few images."""

import numpy as np
import torch
from numpy.typing import NDArray

from service.contract.fingerprint import PixelStatistics
from service.contract.statistics import Floats
from trainer.spectra import cross_spectrum, patch_covariance, transport, whitening
from trainer.stages.deconvolution import Deconvolution, kernel_size
from trainer.stages.filter import Filter
from trainer.stages.tone import KNOTS, Tone
from trainer.stages.warp import Warp
from trainer.task import Task

SCALES = (0.65, 0.8, 1.0, 1.25, 1.55)
"""Stretches tried in either direction before a warp is fitted: the loss has a valley at each of several sizes."""

TAILS = (0.005, 0.995)
"""Between these quantiles of a channel's values lie the knots of its curve."""

SIGNS = (1, -1)
SHIFTS = (-1, 0, 1)
"""A filter's phase at its start: upright or inverted, moved by so many pixels in either direction."""


def stretched_warps(task: Task) -> list[Warp]:
    """Warps that stretch the picture by every pair of SCALES."""
    stretches = [(horizontal, vertical) for horizontal in SCALES for vertical in SCALES]
    warps = [Warp(task.frame) for _ in stretches]
    for warp, stretch in zip(warps, stretches, strict=True):
        warp.stretch(*stretch)
    return warps


def matching_filters(task: Task) -> list[Filter]:
    """The identity, and filters that give every channel the source's mean and deviation, upright and inverted."""
    filters, pixels = [Filter(task.frame)], task.fingerprint.pixels
    if pixels is None:
        return filters
    wanted = torch.from_numpy(np.sqrt(np.diag(pixels.cov))).float(), torch.from_numpy(pixels.mean).float()
    spread, mean = torch.std_mean(task.fit, dim=(0, 2, 3))
    gain = wanted[0] / spread.clamp_min(1e-6)
    for sign in SIGNS:
        filter_ = Filter(task.frame)
        filter_.scale(sign * gain, wanted[1] - sign * gain * mean)
        filters.append(filter_)
    return filters


def matching_tones(task: Task) -> list[Tone]:
    """The identity, and where the fingerprint has pixel statistics the curves that give every channel its histogram."""
    tones, pixels = [Tone(task.frame)], task.fingerprint.pixels
    if pixels is None:
        return tones
    values = np.sort(task.fit.transpose(0, 1).flatten(1).numpy().astype(np.float64), axis=1)
    low, high = np.quantile(values, TAILS, axis=1)
    if not (high > low).all():
        return tones
    knots = np.linspace(low, high, KNOTS, axis=1)
    below = [np.searchsorted(v, k, side="right") / v.size for v, k in zip(values, knots, strict=True)]
    wanted = [np.interp(share, cdf, pixels.cdf_levels) for share, cdf in zip(below, pixels.cdf, strict=True)]
    tone = Tone(task.frame)
    tone.through(knots, np.stack(wanted))
    return [*tones, tone]


def deconvolutions(task: Task) -> list[Deconvolution]:
    """Deconvolutions that give the mean image and the power at every spatial frequency of the source, in many phases.

    None where the fingerprint has no cross-spectrum.
    """
    pixels = task.fingerprint.pixels
    if pixels is None or pixels.image_mean is None or pixels.cross_spectrum is None:
        return []
    images = task.fit.numpy()
    mean = _mean_like(pixels, images)
    spectrum = cross_spectrum(images, mean)
    kernel = transport(pixels.cross_spectrum, spectrum)
    size = kernel_size(*task.frame.shape[1:])
    basis = whitening(patch_covariance(spectrum, size))
    stages = []
    for phase in [(sign, down, right) for sign in SIGNS for down in SHIFTS for right in SHIFTS]:
        stage = Deconvolution(task.frame)
        stage.begin(mean=mean, wanted=pixels.image_mean, kernel=_phased(kernel, size, *phase), whitening=basis)
        stages.append(stage)
    return stages


def _mean_like(pixels: PixelStatistics, images: NDArray[np.float32]) -> Floats:
    """The mean image of `images` where the fingerprint has one, else the mean of each channel, (C, 1, 1)."""
    assert pixels.image_mean is not None
    axes = (0,) if pixels.image_mean.shape[1:] != (1, 1) else (0, 2, 3)
    found = images.mean(axis=axes, dtype=np.float64)
    return np.asarray(found.reshape(len(found), *(found.shape[1:] or (1, 1))))


def _phased(kernel: Floats, size: int, sign: int, down: int, right: int) -> Floats:
    """The middle (C, C, size, size) of a kernel that is moved and, for a sign of -1, inverted."""
    middle = [side // 2 for side in kernel.shape[2:]]
    rolled = np.roll(kernel, (down, right), axis=(2, 3))
    rows, columns = (slice(at - size // 2, at + size // 2 + 1) for at in middle)
    return np.asarray(sign * rolled[:, :, rows, columns])
