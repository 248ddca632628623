"""Metrics against closed forms, and against scikit-image where there is none."""

import numpy as np
import pytest
import torch

from trainer.studies.homogenization.metrics import LUMINANCE, comparable, psnr, ssim, unit_vector_error


def pictures(channels: int = 1, side: int = 16, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((count, channels, side, side)).astype(np.float32)


def test_the_identity_has_no_error() -> None:
    x = pictures()

    assert unit_vector_error(lambda units: units, (1, 4, 5)) == 0
    assert psnr(x, x) == np.inf
    assert ssim(x, x) == pytest.approx(100)


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 6, 6)], ids=["grey", "colour"])
def test_a_gain_of_one_and_a_half_errs_by_a_half(shape: tuple[int, int, int]) -> None:
    assert unit_vector_error(lambda units: 1.5 * units, shape) == pytest.approx(0.5)


def test_a_bias_counts_once_for_each_pixel_of_each_unit_vector() -> None:
    # |0.1 everywhere| over 48 pixels.
    assert unit_vector_error(lambda units: units + 0.1, (3, 4, 4)) == pytest.approx(0.1 * 48**0.5)


def test_many_unit_vectors_are_computed_in_parts_of_the_same_sum() -> None:
    weights = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(0))

    whole, parts = (unit_vector_error(lambda units: units * weights, (1, 6, 6), rows=rows) for rows in (36, 5))

    assert whole == pytest.approx(float((weights - 1).square().mean().sqrt()))
    assert whole == pytest.approx(parts)


def test_brightness_and_contrast_of_a_whole_image_cost_nothing() -> None:
    x = pictures(3)

    assert psnr(x, 4 * x - 2) > 100
    assert ssim(x, 4 * x - 2) == pytest.approx(100, abs=1e-3)


def test_psnr_of_one_wrong_pixel_is_what_one_wrong_pixel_is() -> None:
    truth = np.zeros((1, 1, 10, 10))
    truth[0, 0, 0, 0] = 1.0
    wrong = truth.copy()
    wrong[0, 0, 5, 5] = 0.5

    # A squared error of 1/4 in one of a hundred pixels: -10 log10(1/400).
    assert psnr(truth, wrong) == pytest.approx(10 * np.log10(400))


def test_psnr_and_ssim_are_means_over_images() -> None:
    truth, x = pictures(), pictures()[::-1].copy()

    assert psnr(truth, x + 0.1 * truth) == pytest.approx(
        np.mean([psnr(truth[i : i + 1], (x + 0.1 * truth)[i : i + 1]) for i in range(3)])
    )
    assert ssim(truth, x) == pytest.approx(np.mean([ssim(truth[i : i + 1], x[i : i + 1]) for i in range(3)]))


def test_ssim_of_flat_halves_is_the_closed_form() -> None:
    # Far from the edge both images are flat there, so that only luminance enters: (2ab + c) / (a^2 + b^2 + c).
    truth, x = np.zeros((1, 1, 64, 64)), np.zeros((1, 1, 64, 64))
    truth[..., 32:], x[..., 32:] = 1.0, 1.0
    x[..., :16, :32] = 0.5
    whole = ssim(truth, x)
    c1 = 0.01**2
    flat = c1 / (0.25 + c1)

    # One eighth of the area at `flat`, most of the rest at 1; the blurred borders lie between.
    low, high = (50 * (1 + share * flat + (1 - share)) for share in (0.125 * 1.9, 0.125 * 0.5))
    assert low < whole < high


def test_opposite_structure_is_worse_than_none() -> None:
    x = pictures()

    assert ssim(x, 1 - x) < ssim(x, np.zeros_like(x) + np.eye(16)) < 60


def test_each_image_is_stretched_by_itself_over_all_its_channels() -> None:
    x = pictures(3) * np.array([1, 10, 100]).reshape(3, 1, 1, 1) + 7

    y = comparable(x)

    np.testing.assert_allclose(y, comparable(pictures(3)), atol=1e-5)
    by_hand = pictures(3)[0].astype(np.float64)
    by_hand = (by_hand - by_hand.min()) / (by_hand.max() - by_hand.min())
    np.testing.assert_allclose(comparable(pictures(3))[0], np.tensordot(LUMINANCE, by_hand, axes=1), atol=1e-12)


def test_luminance_of_white_is_one() -> None:
    assert pytest.approx(1) == LUMINANCE.sum()


def test_a_constant_image_compares_as_black() -> None:
    np.testing.assert_array_equal(comparable(np.full((1, 1, 4, 4), 3.0)), np.zeros((1, 4, 4)))


@pytest.mark.parametrize("side", [3, 4, 8, 11, 12])
def test_small_images_get_a_window_that_fits(side: int) -> None:
    x = pictures(side=side)

    assert ssim(x, x) == pytest.approx(100)


def test_images_too_small_for_any_window_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3 pixels"):
        ssim(pictures(side=2), pictures(side=2))
