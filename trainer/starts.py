"""Where fits begin: closed forms and grids, each a list of stages that are compared on a few images."""

import numpy as np
import torch

from service.contract.statistics import Floats
from trainer.fingerprinting import FEWEST_IN_MEAN
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


def deconvolutions(task: Task, *, closed_form: bool = True, pattern: bool = True) -> list[Deconvolution]:
    """Deconvolutions that give the mean image and the power at every spatial frequency of the source, in many phases.

    None where the fingerprint has no cross-spectrum. The mean of few images is no image, as in a fingerprint: it would
    show them to whoever has the corrector, and its noise would lie on every image.

    Args:
        closed_form: False for the identity alone.
        pattern: whether mean and bias are images; else they are numbers, one for each channel.
    """
    pixels = task.fingerprint.pixels
    if not closed_form:
        return [Deconvolution(task.frame, pattern=pattern)]
    if pixels is None or pixels.image_mean is None or pixels.cross_spectrum is None:
        return []
    images, wanted = task.fit.numpy(), pixels.image_mean
    if not pattern or len(images) < FEWEST_IN_MEAN:
        wanted = wanted.mean(axis=(1, 2), keepdims=True)
    # About the same kind of mean as the source's: an image, or a number for each channel.
    mean = images.mean(axis=0, dtype=np.float64)
    mean = mean if wanted.shape == mean.shape else mean.mean(axis=(1, 2), keepdims=True)
    spectrum = cross_spectrum(images, mean)
    kernel = transport(pixels.cross_spectrum, spectrum)
    size = kernel_size(*task.frame.shape[1:])
    basis = whitening(patch_covariance(spectrum, size))
    stages = []
    for phase in [(sign, down, right) for sign in SIGNS for down in SHIFTS for right in SHIFTS]:
        stage = Deconvolution(task.frame, pattern=pattern)
        stage.begin(mean=mean, wanted=wanted, kernel=_phased(kernel, size, *phase), whitening=basis)
        stages.append(stage)
    return stages


def _phased(kernel: Floats, size: int, sign: int, down: int, right: int) -> Floats:
    """The middle (C, C, size, size) of a kernel that is moved and, for a sign of -1, inverted."""
    middle = [side // 2 for side in kernel.shape[2:]]
    rolled = np.roll(kernel, (down, right), axis=(2, 3))
    rows, columns = (slice(at - size // 2, at + size // 2 + 1) for at in middle)
    return np.asarray(sign * rolled[:, :, rows, columns])
