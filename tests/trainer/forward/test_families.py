"""Families are the identity at 0, compute what their stages do, and hold one another."""

import numpy as np
import pytest
import torch

from service.contract.fingerprint import PixelStatistics
from trainer.corrector import Corrector
from trainer.forward import apply, families, stages
from trainer.forward.closed_forms import matching_colours, matching_pattern
from trainer.forward.kernels import channel_affine, colour_matrix, depthwise, full
from trainer.forward.patterns import Pattern
from trainer.forward.warps import AffineWarp
from trainer.frame import Frame

FRAMES = {
    "grey tall": Frame((1, 12, 9), None, (1.0,)),
    "grey wide, background": Frame((1, 9, 12), (0.2,), (2.0,)),
    "colour tall, background": Frame((3, 11, 9), (0.9, 0.1, -0.4), (1.0, 2.0, 3.0)),
    "colour wide": Frame((3, 9, 11), None, (1.0, 2.0, 3.0)),
}
SMALL = 1e-5
"""Values and weights are of order 1, sums have at most a hundred terms."""

CASES = [
    pytest.param(frame, family, id=f"{label}, {family.name}")
    for label, frame in FRAMES.items()
    for family in families(frame)
]


def images(frame: Frame, count: int = 4) -> np.ndarray:
    return np.random.default_rng(1).random((count, *frame.shape), dtype=np.float32)


def some(family, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, family.size)


@pytest.mark.parametrize(("frame", "family"), CASES)
def test_theta_0_is_the_identity(frame, family) -> None:
    x = images(frame)

    np.testing.assert_allclose(family.apply(np.zeros(family.size), x), x, atol=1e-6)


@pytest.mark.parametrize(("frame", "family"), CASES)
def test_the_stage_computes_the_same_images(frame, family) -> None:
    x, theta = images(frame), some(family)

    with torch.no_grad():
        staged = family.to_stage(theta)(torch.from_numpy(x)).numpy()

    np.testing.assert_allclose(family.apply(theta, x), staged, atol=SMALL)
    assert np.abs(staged - x).max() > 0.01


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_row_of_families_is_the_corrector_of_their_stages(frame) -> None:
    row = [AffineWarp(frame), full(frame), Pattern(frame)]
    parts = [(family, 0.2 * some(family)) for family in row]
    x = images(frame)

    with torch.no_grad():
        corrected = Corrector(stages(parts))(torch.from_numpy(x)).numpy()

    np.testing.assert_allclose(apply(parts, x), corrected, atol=SMALL)


def test_families_come_from_the_smallest_on_and_once() -> None:
    grey, colour = (families(FRAMES[label]) for label in ("grey tall", "colour wide"))

    assert [2, 6, 10, 64] == [family.size for family in grey]
    assert [6, 6, 12, 30, 84, 192] == [family.size for family in colour]


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_larger_linear_family_goes_on_where_a_smaller_one_ended(frame) -> None:
    x = images(frame)
    for small, large in ((channel_affine, colour_matrix), (channel_affine, depthwise), (colour_matrix, full)):
        smaller, larger = small(frame), large(frame)
        theta = some(smaller)

        assert larger.holds(smaller)
        grown = larger.theta(*smaller.parts(theta))
        np.testing.assert_allclose(larger.apply(grown, x), smaller.apply(theta, x), atol=1e-6)


def test_a_kernel_for_each_channel_holds_no_colour_matrix() -> None:
    frame = FRAMES["colour wide"]

    assert not depthwise(frame).holds(colour_matrix(frame))


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_smooth_pattern_is_found_from_its_image(frame) -> None:
    pattern = Pattern(frame)
    theta = some(pattern)

    np.testing.assert_allclose(pattern.closest(pattern.image(theta)), theta, atol=1e-9)


def statistics(x: np.ndarray) -> PixelStatistics:
    flat = x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1).astype(np.float64)
    none = np.zeros(0)
    return PixelStatistics(flat.mean(axis=1), np.atleast_2d(np.cov(flat)), none, none, none, none, none)


@pytest.mark.parametrize("label", FRAMES)
def test_closed_forms_give_the_source_s_means_and_deviations_and_of_colours_the_covariance(label) -> None:
    frame = FRAMES[label]
    source = np.random.default_rng(3).random((30, *frame.shape), dtype=np.float32)
    mixing = np.eye(frame.shape[0]) + 0.3
    target = np.einsum("cd,ndyx->ncyx", mixing, 0.7 * source + 0.1).astype(np.float32)
    wanted = statistics(source)

    found = [statistics(apply(parts, target)) for parts in matching_colours(frame, wanted, target)]

    assert (3 if frame.shape[0] > 1 else 2) == len(found)
    for pixels in found:
        np.testing.assert_allclose(pixels.mean, wanted.mean, atol=1e-4)
    for pixels in found[:2]:
        np.testing.assert_allclose(np.diag(pixels.cov), np.diag(wanted.cov), rtol=1e-3)
    # The floor of the transport is a thousandth of the mean power.
    for pixels in found[2:]:
        np.testing.assert_allclose(pixels.cov, wanted.cov, atol=0.02 * wanted.cov.max())


def test_the_pattern_that_mean_pictures_tell_of_takes_the_shading_away() -> None:
    frame = FRAMES["grey tall"]
    pattern = Pattern(frame)
    clean = images(frame, 50)
    shaded = pattern.apply(some(pattern), clean)

    theta = matching_pattern(pattern, clean.mean(axis=0, dtype=np.float64), (), shaded)

    np.testing.assert_allclose(pattern.apply(theta, shaded), clean, atol=1e-5)
