"""Making a fingerprint: from source images, or from the BatchNormalization nodes alone."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from service.contract.distances import statistics_loss
from service.contract.fingerprint import (
    Fingerprint,
    PixelStatistics,
    ReferenceLoss,
    SignatureStatistics,
    TapStatistics,
)
from service.contract.input_spec import InputSpec
from service.contract.manifest import OutputSpec, Tap
from service.contract.statistics import ChannelMoments, Floats, ImageMoments, TapMoments, pool, take
from trainer.corrector import Corrector
from trainer.datasets import Dataset
from trainer.gate.scores import probabilities
from trainer.gate.signatures import shrunk_covariance, signatures, span_of
from trainer.gate.source import outcome_statistics
from trainer.measure import measure
from trainer.reading import Reading
from trainer.spectra import cross_spectrum

MOST_IMAGES = 10_000
MOST_VALUES = 1 << 27
"""Input values of all source images together: a gigabyte in float64, about 900 images of 224 x 224 in colour."""
MOST_CLASS_VALUES = 1 << 22
"""Class-conditional moments of all taps together: 32 megabytes in float64."""
REFERENCE_SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
REFERENCE_DRAWS = 100
CDF_LEVELS = 256
SPECTRUM_RINGS = 16
FEWEST_IN_MEAN = 64
"""A mean image of fewer images would show them."""
MOST_MEAN_VALUES = 1 << 18
"""Values of a mean image: two megabytes in float64, 295 x 295 in colour."""
PERCENTILES = 101


def from_images(
    frozen: Reading,
    dataset: Dataset,
    taps: Sequence[Tap],
    spec: InputSpec,
    *,
    frozen_sha256: str,
    output: OutputSpec,
    done: Callable[[float], None] = lambda _share: None,
) -> Fingerprint:
    """A full fingerprint; of more images than MOST_IMAGES, or than MOST_VALUES allow, an even spread is taken.

    Class-conditional moments are kept for the last taps, as many as MOST_CLASS_VALUES allow: all of a model with ten
    classes, the deepest ones of a model with a thousand. `done` is told the share of the work that is behind.
    """
    most = min(len(dataset.images), MOST_IMAGES, MOST_VALUES // dataset.images[0].size)
    sample = dataset.take(np.linspace(0, len(dataset.images) - 1, most).astype(int))
    measured = measure(frozen, Corrector(), torch.from_numpy(sample.images), done)
    predicted = measured.scores.argmax(axis=1)
    labels = sample.labels if sample.labels is not None else predicted
    probability = probabilities(measured.scores, output.scores)
    first_tap = measured.moments[taps[0].name].first
    return Fingerprint(
        frozen_sha256=frozen_sha256,
        kind="full",
        taps=_taps(measured.moments, taps, labels, output.classes),
        images=len(sample.images),
        labels_given=sample.labels is not None,
        class_counts=np.bincount(labels, minlength=output.classes).astype(np.float64),
        confidence=np.percentile(probability.max(axis=1), np.linspace(0, 100, PERCENTILES)),
        pixels=_pixels(sample.images, spec),
        reference=_reference(measured.moments, taps),
        outcome=outcome_statistics(probability, labels, first_tap, labels_given=sample.labels is not None),
        signature=_signature(sample.images, spec),
    )


def from_batchnorm(
    statistics: dict[str, tuple[NDArray[np.floating], NDArray[np.floating]]], taps: Sequence[Tap], *, frozen_sha256: str
) -> Fingerprint:
    """A fingerprint of means and variances alone."""
    none = np.zeros((0, 0))
    return Fingerprint(
        frozen_sha256=frozen_sha256,
        kind="batchnorm",
        taps={
            name: TapStatistics(mean.astype(np.float64), var.astype(np.float64), none, none)
            for name, (mean, var) in ((tap.name, statistics[tap.name]) for tap in taps)
        },
    )


def _taps(
    moments: TapMoments, taps: Sequence[Tap], labels: NDArray[np.integer], classes: int
) -> dict[str, TapStatistics]:
    found, room = {}, MOST_CLASS_VALUES
    for tap in reversed(taps):
        room -= 2 * classes * tap.channels
        found[tap.name] = _tap(moments[tap.name], labels, classes if room >= 0 else 0)
    return {tap.name: found[tap.name] for tap in taps}


def _tap(moments: ImageMoments, labels: NDArray[np.integer], classes: int) -> TapStatistics:
    pooled = moments.pooled()
    first, second = (_class_mean(part, labels, classes) for part in (moments.first, moments.second))
    return TapStatistics(pooled.mean, pooled.var, first, second)


def _class_mean(part: Floats, labels: NDArray[np.integer], classes: int) -> Floats:
    """Mean over the images of each class, (K, C); NaN for a class without an image."""
    means = np.full((classes, part.shape[1]), np.nan)
    for index in np.unique(labels[labels < classes]):
        means[index] = part[labels == index].mean(axis=0)
    return means


def _reference(moments: TapMoments, taps: Sequence[Tap]) -> ReferenceLoss:
    """Losses of random source batches of several sizes: what remains when nothing is shifted."""
    count = len(next(iter(moments.values())))
    sizes = [size for size in REFERENCE_SIZES if size <= count]
    groups = [[tap.name for tap in taps if tap.reserved is reserved] for reserved in (False, True)]
    source = pool(moments)
    draw = np.random.default_rng(0)
    tables = np.array([_losses(moments, source, groups, size, count, draw) for size in sizes])
    return ReferenceLoss(np.array(sizes, dtype=np.float64), tables[:, 0], tables[:, 1])


def _losses(
    moments: TapMoments,
    source: dict[str, ChannelMoments],
    groups: list[list[str]],
    size: int,
    count: int,
    draw: np.random.Generator,
) -> list[list[float]]:
    """For each group of taps: mean and 95 % quantile over REFERENCE_DRAWS batches of `size` images.

    A batch of other images differs from the source statistics by its own error and by theirs, one drawn from the same
    images by its own alone: the squared distance is raised by the ratio of both, (1 / size + 1 / count) / (1 / size).
    """
    raised = 1.0 + size / count
    drawn: list[list[float]] = [[], []]
    for _ in range(REFERENCE_DRAWS):
        batch = pool(take(moments, draw.integers(0, count, size)))
        for losses, names in zip(drawn, groups, strict=True):
            losses.append(raised * statistics_loss(batch, source, names))
    return [[float(np.mean(losses)), float(np.quantile(losses, 0.95))] for losses in drawn]


def _pixels(images: NDArray[np.float32], spec: InputSpec) -> PixelStatistics:
    values = images.astype(np.float64)
    flat = values.transpose(1, 0, 2, 3).reshape(spec.channels, -1)
    low, high = spec.plane_bounds()
    levels = np.linspace(float(low.min()), float(high.max()), CDF_LEVELS)
    mean = _image_mean(values)
    border = np.concatenate([values[:, :, 0], values[:, :, -1], values[:, :, :, 0], values[:, :, :, -1]], axis=2)
    return PixelStatistics(
        mean=flat.mean(axis=1),
        cov=np.atleast_2d(np.cov(flat)),
        cdf_levels=levels,
        cdf=np.stack([np.searchsorted(np.sort(channel), levels, side="right") / len(channel) for channel in flat]),
        spectrum=_spectrum(values),
        border_mean=border.mean(axis=(0, 2)),
        border_std=border.std(axis=(0, 2)),
        image_mean=mean,
        cross_spectrum=cross_spectrum(values, mean),
    )


def _image_mean(values: Floats) -> Floats:
    """The mean image (C, H, W), or the mean of each channel (C, 1, 1)."""
    shown = len(values) >= FEWEST_IN_MEAN and values[0].size <= MOST_MEAN_VALUES
    return np.asarray(values.mean(axis=0) if shown else values.mean(axis=(0, 2, 3))[:, None, None])


def _spectrum(values: Floats) -> Floats:
    """Mean power of the channel mean in rings of spatial frequency, (SPECTRUM_RINGS,), lowest first."""
    grey = values.mean(axis=1)
    power = np.mean(np.abs(np.fft.fft2(grey)) ** 2, axis=0)
    radius = np.hypot(*np.meshgrid(*(np.fft.fftfreq(side) for side in power.shape), indexing="ij"))
    ring = np.minimum((radius / 0.5 * SPECTRUM_RINGS).astype(int), SPECTRUM_RINGS - 1).ravel()
    total = np.bincount(ring, weights=power.ravel(), minlength=SPECTRUM_RINGS)
    return np.asarray(total / np.maximum(np.bincount(ring, minlength=SPECTRUM_RINGS), 1))


def _signature(images: NDArray[np.float32], spec: InputSpec) -> SignatureStatistics:
    found = signatures(images, span_of(spec))
    return SignatureStatistics(found.mean(axis=0), shrunk_covariance(found))
