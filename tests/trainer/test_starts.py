"""Where fits begin: closed forms that already have the source's statistics, in every phase that these leave open."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate, shift

from service.contract.fingerprint import PixelStatistics
from tests.trainer.tiny_case import source, tiny_task
from trainer.fingerprinting import FEWEST_IN_MEAN
from trainer.frame import Frame
from trainer.spectra import cross_spectrum
from trainer.stages.deconvolution import Deconvolution
from trainer.starts import deconvolutions, matching_filters, matching_tones
from trainer.task import Task

SMALL = 1e-4
"""Float32 convolutions of at most 243 terms of order 1."""
PHASES = list(product((1, -1), (-1, 0, 1), (-1, 0, 1)))
TURNS = {1: 0, 2: 6, 3: 46, 4: 0}
"""Orders and signs of up to three principal colours, C! 2^C, but for upright and inverted, which are phases already."""

SHAPES = {"grey": (1, 12, 11), "colour": (3, 11, 12), "small": (1, 4, 5)}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def noise(shape: tuple[int, int, int], seed: int, count: int = 80) -> np.ndarray:
    """White noise on a pattern that is the same for all images."""
    draw = np.random.default_rng(seed)
    return (draw.normal(0, 1, (count, *shape)) + draw.normal(0, 1, shape)).astype(np.float32)


def pixels_of(images: np.ndarray, mean: np.ndarray) -> PixelStatistics:
    flat = images.transpose(1, 0, 2, 3).reshape(images.shape[1], -1).astype(np.float64)
    levels = np.linspace(flat.min(), flat.max(), 256)
    return PixelStatistics(
        mean=flat.mean(axis=1),
        cov=np.atleast_2d(np.cov(flat)),
        cdf_levels=levels,
        cdf=np.array([[(channel <= level).mean() for level in levels] for channel in flat]),
        spectrum=np.zeros(16),
        border_mean=np.zeros(len(flat)),
        border_std=np.zeros(len(flat)),
        image_mean=mean,
        cross_spectrum=cross_spectrum(images, mean),
    )


def make_task(tiny, images: np.ndarray, target: np.ndarray, mean: np.ndarray | None = None) -> Task:
    """A task to make `target` look like `images`."""
    bare, shape = tiny_task(tiny, source(5, 0)), images.shape[1:]
    pixels = pixels_of(images.astype(np.float64), images.mean(axis=0, dtype=np.float64) if mean is None else mean)
    frame = Frame(shape, None, (1.0,) * shape[0])
    return replace(
        bare, fingerprint=replace(bare.fingerprint, pixels=pixels), frame=frame, fit=torch.from_numpy(target)
    )


@torch.no_grad()
def outputs(stages: list[Deconvolution], images: np.ndarray) -> list[np.ndarray]:
    return [stage(torch.from_numpy(images)).numpy() for stage in stages]


# Deconvolutions.


@pytest.mark.parametrize("shape", [*SHAPES.values(), (2, 6, 7), (4, 6, 7)], ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_every_phase_gives_the_sources_mean_image(tiny, shape: tuple[int, int, int], seed: int) -> None:
    images, target = noise(shape, seed), noise(shape, seed + 50) * np.float32(0.4) + np.float32(0.7)
    task = make_task(tiny, images, target)

    found = outputs(deconvolutions(task), target)

    assert len(found) == len(PHASES) + TURNS[shape[0]]
    for images_behind in found:
        np.testing.assert_allclose(images_behind.mean(axis=0), images.mean(axis=0), rtol=0, atol=SMALL)


@every_shape
def test_the_phases_are_the_picture_upright_and_inverted_moved_by_a_pixel_each_way(
    tiny, shape: tuple[int, int, int]
) -> None:
    images = noise(shape, 3)
    mean = images.mean(axis=0)
    # Half the contrast and another pattern: what undoes it is a gain of two, in one pixel.
    target = 0.5 * (images - mean) + noise(shape, 4, count=1)

    found = outputs(deconvolutions(make_task(tiny, images, target)), target)[: len(PHASES)]

    distances = np.empty((len(PHASES), len(found)))
    for row, (sign, down, right) in enumerate(PHASES):
        moved = shift(images - mean, (0, 0, down, right), order=0, mode="mirror")
        for column, images_behind in enumerate(found):
            distances[row, column] = np.abs(images_behind - mean - sign * moved).max()
    # Every phase is there, once. The floor of the spectrum costs a thousandth of the gain.
    assert (distances.min(axis=1) < 0.05).all()
    assert sorted(distances.argmin(axis=1)) == list(range(len(PHASES)))


@pytest.mark.parametrize("seed", range(2))
def test_one_of_them_undoes_a_blur_that_mixes_channels(tiny, seed: int) -> None:
    shape = (3, 24, 26)
    images = noise(shape, seed, count=120)
    # At every frequency positive and Hermitian, so that power alone says what it was.
    colours = np.array([[1.0, 0.3, 0.0], [0.3, 0.9, -0.2], [0.0, -0.2, 0.8]], dtype=np.float32)
    blur = 0.5 * np.outer([0, 1, 0], [0, 1, 0]) + 0.5 * np.outer([1, 2, 1], [1, 2, 1]) / 16
    blurred = np.stack([[correlate(plane, blur, mode="mirror") for plane in image] for image in images])
    target = np.einsum("cd,ndyx->ncyx", colours, blurred).astype(np.float32) - np.float32(0.5)

    found = outputs(deconvolutions(make_task(tiny, images, target)), target)

    errors = [float(np.square(images_behind - images).mean()) for images_behind in found]
    # Of 120 images each frequency's power is known to a tenth; white noise of variance 1 is hardest to bring back.
    assert np.square(target - images).mean() > 0.5
    assert min(errors) < 0.1


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 0, 1)])
def test_one_of_them_undoes_principal_colours_in_another_order(tiny, order: tuple[int, ...]) -> None:
    shape = (3, 16, 16)
    draw = np.random.default_rng(8)
    axes = np.linalg.qr(draw.normal(0, 1, (3, 3)))[0]
    colours = np.array([1.5, 0.8, 0.3])
    images = np.einsum("cd,ndyx->ncyx", axes * colours, draw.normal(0, 1, (400, *shape))).astype(np.float32)
    target = np.einsum("cd,ndyx->ncyx", axes[:, order] * [1, -1, 1] @ axes.T, images).astype(np.float32)

    found = outputs(deconvolutions(make_task(tiny, images, target)), target)

    errors = [float(np.square(images_behind - images).mean()) for images_behind in found]
    assert np.argmin(errors) >= len(PHASES), "no phase alone"
    assert min(errors) < 0.02 * float(np.square(images).mean())


def test_without_a_cross_spectrum_there_are_none(tiny) -> None:
    task = make_task(tiny, noise(SHAPES["grey"], 5), noise(SHAPES["grey"], 6))
    pixels = task.fingerprint.pixels
    assert pixels is not None
    older = replace(pixels, image_mean=None, cross_spectrum=None)

    for fingerprint in (
        replace(task.fingerprint, pixels=older),
        replace(task.fingerprint, kind="batchnorm", pixels=None, reference=None),
    ):
        assert deconvolutions(replace(task, fingerprint=fingerprint)) == []


@every_shape
def test_without_a_mean_image_the_means_are_numbers_for_each_channel(tiny, shape: tuple[int, int, int]) -> None:
    images, target = noise(shape, 7), noise(shape, 8)
    channels = images.mean(axis=(0, 2, 3), dtype=np.float64)[:, None, None]

    stages = deconvolutions(make_task(tiny, images, target, mean=channels))

    assert len(stages) == len(PHASES) + TURNS[shape[0]]
    for stage in stages:
        np.testing.assert_allclose(stage.wanted, np.broadcast_to(channels, shape), rtol=0, atol=SMALL)
        wanted = np.broadcast_to(target.mean(axis=(0, 2, 3), keepdims=True)[0], shape)
        np.testing.assert_allclose(stage.mean, wanted, rtol=0, atol=SMALL)


def test_without_a_pattern_a_mean_image_is_not_used(tiny) -> None:
    shape = SHAPES["colour"]
    images, target = noise(shape, 9), noise(shape, 10)

    stages = deconvolutions(make_task(tiny, images, target), pattern=False)

    for stage in stages:
        for buffer, of in ((stage.wanted, images), (stage.mean, target)):
            expected = np.broadcast_to(of.mean(axis=(0, 2, 3), keepdims=True)[0], shape)
            np.testing.assert_allclose(buffer, expected, rtol=0, atol=SMALL)


@pytest.mark.parametrize(("count", "is_image"), [(FEWEST_IN_MEAN - 1, False), (FEWEST_IN_MEAN, True)])
def test_few_images_are_not_shown_by_their_mean(tiny, count: int, *, is_image: bool) -> None:
    images, target = noise(SHAPES["colour"], 9), noise(SHAPES["colour"], 10, count)

    for stage in deconvolutions(make_task(tiny, images, target)):
        for buffer in (stage.mean, stage.wanted):
            assert is_image == (len(buffer[0].unique()) > 1)


def test_without_a_closed_form_there_is_the_identity_alone(tiny) -> None:
    images, target = noise(SHAPES["colour"], 11), noise(SHAPES["colour"], 12)

    (found,) = outputs(deconvolutions(make_task(tiny, images, target), closed_form=False), target)

    np.testing.assert_allclose(found, target, rtol=0, atol=SMALL)


# Filters and tones.


@every_shape
def test_matching_filters_are_the_identity_and_the_sources_mean_and_deviation_upright_and_inverted(
    tiny, shape: tuple[int, int, int]
) -> None:
    images, target = noise(shape, 13), noise(shape, 14) * np.float32(0.4) + np.float32(0.7)
    task = make_task(tiny, images, target)

    with torch.no_grad():
        same, upright, inverted = (filter_(task.fit).numpy() for filter_ in matching_filters(task))

    np.testing.assert_allclose(same, target, rtol=0, atol=SMALL)
    for found, sign in ((upright, 1), (inverted, -1)):
        np.testing.assert_allclose(found.mean(axis=(0, 2, 3)), images.mean(axis=(0, 2, 3)), rtol=0, atol=SMALL)
        np.testing.assert_allclose(found.std(axis=(0, 2, 3)), images.std(axis=(0, 2, 3)), rtol=1e-3)
        for channel in range(shape[0]):
            pair = np.corrcoef(found[:, channel].ravel(), target[:, channel].ravel())
            assert pair[0, 1] == pytest.approx(sign, abs=1e-4)


def test_a_matching_tone_undoes_a_curve(tiny) -> None:
    shape = SHAPES["colour"]
    images = np.random.default_rng(15).random((80, *shape), dtype=np.float32)
    target = images ** np.float32([0.5, 1.5, 2.0]).reshape(3, 1, 1)
    task = make_task(tiny, images, target)

    with torch.no_grad():
        same, tone = (stage(task.fit).numpy() for stage in matching_tones(task))

    np.testing.assert_array_equal(same, target)
    # Twelve knots on a curve that is steep at its end, and uniform values whose quantiles are known to a hundredth.
    assert np.abs(tone - images).mean() < 0.01 < 0.1 < np.abs(target - images).mean()


def test_a_picture_of_one_value_has_no_tone_but_the_identity(tiny) -> None:
    images = noise(SHAPES["grey"], 16)

    assert len(matching_tones(make_task(tiny, images, np.full_like(images, 0.25)))) == 1
