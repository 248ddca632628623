"""Where fits begin: closed forms and grids, each a list of stages that are compared on a few images."""

from itertools import permutations, product

import numpy as np
import torch

from service.contract.statistics import Complex, Floats
from trainer.fingerprinting import FEWEST_IN_MEAN
from trainer.forward.warps import SCALES
from trainer.spectra import cross_spectrum, patch_covariance, transport, turned, whitening
from trainer.stages.deconvolution import Deconvolution, kernel_size
from trainer.stages.filter import Filter
from trainer.stages.tone import KNOTS, Tone
from trainer.stages.warp import Warp
from trainer.task import Task

TAILS = (0.005, 0.995)
"""Between these quantiles of a channel's values lie the knots of its curve."""

SHIFTS = (-1, 0, 1)
"""A deconvolution's phase at its start: moved by so many pixels in either direction, upright or inverted."""

MOST_TURNED = 3
"""Of images with at most so many channels, all orders and signs of the principal colours are tried too: 48 of three
channels, 384 of four."""


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
    for sign in (1, -1):
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
    show them to whoever has the corrector, and its noise would lie on every image. Where the means are images they
    say all that is known of a pattern: one fitted beside them only follows the sample's noise.

    Args:
        closed_form: False for the identity alone; a pattern is then a bias image that is fitted.
        pattern: whether means are images; else they are numbers, one for each channel, as the bias is that is fitted.
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
    size = kernel_size(*task.frame.shape[1:])
    basis = whitening(patch_covariance(spectrum, size)).astype(np.float32)
    mean, wanted = mean.astype(np.float32), wanted.astype(np.float32)
    stages = []
    for kernel in _phases(transport(pixels.cross_spectrum, spectrum), pixels.cross_spectrum, size):
        stage = Deconvolution(task.frame, pattern=False)
        stage.begin(mean=mean, wanted=wanted, kernel=kernel, whitening=basis)
        stages.append(stage)
    return stages


def _phases(kernel: Floats, source: Complex, size: int) -> list[Floats]:
    """Some (C, C, size, size) of those that powers leave open: moved and inverted, or with principal colours turned."""
    moved = [
        sign * np.roll(kernel, (down, right), axis=(2, 3)) for sign in (1, -1) for down in SHIFTS for right in SHIFTS
    ]
    turns = [turn for turn in _signed_orders(len(kernel)) if not np.array_equal(turn, turn[0, 0] * np.eye(len(turn)))]
    middle = [side // 2 for side in kernel.shape[2:]]
    rows, columns = (slice(at - size // 2, at + size // 2 + 1) for at in middle)
    return [phase[:, :, rows, columns] for phase in [*moved, *turned(kernel, source, turns)]]


def _signed_orders(channels: int) -> list[Floats]:
    """Every matrix (C, C) that puts the axes in another order and inverts some; none of more than MOST_TURNED."""
    if channels > MOST_TURNED:
        return []
    orders, signs = permutations(range(channels)), list(product((1.0, -1.0), repeat=channels))
    return [np.eye(channels)[list(order)] * sign for order in orders for sign in np.array(signs)]
