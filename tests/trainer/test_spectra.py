"""Cross-spectra are numpy's; the filter between two of them turns images with the one into images with the other."""

import numpy as np
import pytest
from scipy.ndimage import correlate

from trainer.spectra import FLOOR, TILE, cross_spectrum, patch_covariance, tile_shape, transport, turned, whitening

SHAPES = {"grey": (1, 8, 6), "grey, odd": (1, 7, 9), "colour": (3, 6, 8), "colour, odd": (3, 9, 5)}
EXACT = {"rtol": 0, "atol": 1e-9}
"""float64 values of order 1 to 100; sums of a few thousand terms."""

every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def mixed(images: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Channel c of the result is the sum over d of channel d, wrapped around, correlated with kernel[c, d]."""
    return np.stack(
        [
            np.stack([sum(correlate(x, k, mode="wrap") for x, k in zip(image, row, strict=True)) for row in kernel])
            for image in images
        ]
    )


def textured(shape: tuple[int, int, int], seed: int, count: int = 60) -> np.ndarray:
    """Images whose pixels and channels depend on each other, differently in every direction."""
    draw = np.random.default_rng(seed)
    kernel = draw.normal(0, 0.4, (shape[0], shape[0], 3, 3))
    kernel[range(shape[0]), range(shape[0]), 1, 1] += 1.5
    return mixed(draw.normal(0, 1, (count, *shape)), kernel)


def about_zero(images: np.ndarray) -> np.ndarray:
    return cross_spectrum(images, np.zeros((images.shape[1], 1, 1)))


def response(kernel: np.ndarray) -> np.ndarray:
    """What a correlation with a kernel (C, C, h, w) does at each frequency: the sum over o of k(o) exp(+2 pi i f o)."""
    return np.fft.fft2(np.fft.ifftshift(kernel, axes=(2, 3))).conj()


def sandwiched(gain: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    return np.einsum("abij,bcij,dcij->adij", gain, spectrum, gain.conj())


def floor_of(spectrum: np.ndarray) -> np.ndarray:
    """The power that is added at every frequency, as a spectrum."""
    share = FLOOR * np.einsum("ccij->ij", spectrum).real.mean() / len(spectrum)
    return share * np.broadcast_to(np.eye(len(spectrum))[:, :, None, None], spectrum.shape)


# The cross-spectrum.


@every_shape
@pytest.mark.parametrize("seed", range(2))
def test_its_mean_over_frequencies_is_the_covariance_of_the_channels(shape: tuple[int, int, int], seed: int) -> None:
    images = textured(shape, seed) + 3.0
    flat = images.transpose(1, 0, 2, 3).reshape(shape[0], -1)

    spectrum = cross_spectrum(images, images.mean(axis=(0, 2, 3))[:, None, None])

    np.testing.assert_allclose(spectrum.mean(axis=(2, 3)), np.atleast_2d(np.cov(flat, bias=True)), **EXACT)


@every_shape
def test_its_power_is_that_of_the_pixels_about_the_mean_image(shape: tuple[int, int, int]) -> None:
    images = textured(shape, 1) + np.random.default_rng(2).random(shape)
    mean = images.mean(axis=0)

    power = np.einsum("ccij->c", cross_spectrum(images, mean).real)

    # Parseval.
    np.testing.assert_allclose(power, np.square(images - mean).mean(axis=0).sum(axis=(1, 2)), **EXACT)


@every_shape
def test_it_is_hermitian_and_positive_at_every_frequency(shape: tuple[int, int, int]) -> None:
    matrices = np.moveaxis(about_zero(textured(shape, 3)), (0, 1), (2, 3))

    np.testing.assert_allclose(matrices, matrices.conj().swapaxes(2, 3), **EXACT)
    assert np.linalg.eigvalsh(matrices).min() > 0


@pytest.mark.parametrize("seed", range(2))
def test_white_noise_behind_a_filter_has_the_power_of_the_filter(seed: int) -> None:
    draw, (h, w) = np.random.default_rng(seed), (8, 6)
    kernel = draw.normal(0, 1, (3, 3))
    whole = np.zeros((h, w))
    whole[:3, :3] = kernel
    wanted = np.abs(np.fft.fft2(whole)) ** 2

    images = mixed(draw.normal(0, 1, (2000, 1, h, w)), kernel[None, None])

    # Power at a frequency is the mean of 2000 squares of a normal number or of two: a deviation of 1 / sqrt(1000) at
    # most, and the largest of 48.
    np.testing.assert_allclose(about_zero(images)[0, 0].real / wanted, 1.0, rtol=0, atol=4 / np.sqrt(1000))


@pytest.mark.parametrize("seed", range(2))
def test_a_mixture_of_channels_acts_on_it_from_both_sides(seed: int) -> None:
    images = textured((3, 6, 8), seed)
    kernel = np.random.default_rng(seed + 10).normal(0, 1, (3, 3, 3, 3))
    whole = np.zeros((3, 3, 6, 8))
    whole[:, :, 2:5, 3:6] = kernel  # A kernel's middle is at half its sides.

    found = about_zero(mixed(images, kernel))

    np.testing.assert_allclose(found, sandwiched(response(whole), about_zero(images)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 80, 33), (3, 33, 70)], ids=str)
def test_large_images_are_cut_into_tiles_and_what_fills_none_is_left_out(shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(4).normal(0, 1, (3, *shape))
    mean = images.mean(axis=0)
    down, right = (range(0, side - TILE + 1, TILE) for side in shape[1:])
    tiles = [(images - mean)[:, :, y : y + TILE, x : x + TILE] for y in down for x in right]
    changed = images.copy()
    changed[:, :, :, -(shape[2] % TILE) :] = 7.0
    changed[:, :, shape[1] - shape[1] % TILE :] = 7.0

    found = cross_spectrum(images, mean)

    assert found.shape == (shape[0], shape[0], *tile_shape(*shape[1:])) == (shape[0], shape[0], TILE, TILE)
    np.testing.assert_allclose(found, about_zero(np.concatenate(tiles)), **EXACT)
    np.testing.assert_array_equal(found, cross_spectrum(changed, mean))


# Transport.


@every_shape
@pytest.mark.parametrize("seed", range(2))
def test_a_transport_makes_the_source_of_the_target_at_every_frequency(shape: tuple[int, int, int], seed: int) -> None:
    source, target = about_zero(textured(shape, seed)), about_zero(textured(shape, seed + 50))

    gain = response(transport(source, target))

    np.testing.assert_allclose(sandwiched(gain, target + floor_of(target)), source, rtol=1e-8, atol=1e-9)
    # Without the floor there is at most the source's power, in whatever mixture of the channels.
    missing = np.moveaxis(source - sandwiched(gain, target), (0, 1), (2, 3))
    assert np.linalg.eigvalsh(missing).min() > -EXACT["atol"]


@every_shape
def test_a_transport_is_hermitian_and_positive_so_that_it_moves_pixels_least(shape: tuple[int, int, int]) -> None:
    kernel = transport(about_zero(textured(shape, 5)), about_zero(textured(shape, 6)))

    gain = np.moveaxis(response(kernel), (0, 1), (2, 3))

    np.testing.assert_allclose(gain, gain.conj().swapaxes(2, 3), **EXACT)
    assert np.linalg.eigvalsh(gain).min() > 0


@every_shape
def test_between_equal_spectra_it_is_the_identity_but_for_the_floor(shape: tuple[int, int, int]) -> None:
    spectrum = about_zero(textured(shape, 7))

    gain = response(transport(spectrum, spectrum))

    # S (S + floor)^-1 at the power of a half differs from 1 by at most floor over S.
    smallest = np.linalg.eigvalsh(np.moveaxis(spectrum, (0, 1), (2, 3))).min()
    off = gain - np.eye(shape[0])[:, :, None, None]
    assert np.abs(off).max() <= floor_of(spectrum).max() / smallest
    # Nowhere does it change images by more than the floor.
    assert np.einsum("ccij->ij", sandwiched(off, spectrum).real).max() <= shape[0] * floor_of(spectrum).max()


@pytest.mark.parametrize("shape", [SHAPES["grey"], SHAPES["grey, odd"]], ids=str)
def test_of_one_channel_it_is_the_root_of_the_ratio(shape: tuple[int, int, int]) -> None:
    source, target = about_zero(textured(shape, 8)), about_zero(textured(shape, 9))

    gain = response(transport(source, target))

    np.testing.assert_allclose(gain, np.sqrt(source.real / (target.real + floor_of(target).max())), **EXACT)


@every_shape
@pytest.mark.parametrize("seed", range(2))
def test_images_behind_the_kernel_have_the_wanted_spectrum(shape: tuple[int, int, int], seed: int) -> None:
    images, target = textured(shape, seed), textured(shape, seed + 80)
    source, before = about_zero(images), about_zero(target)
    kernel = transport(source, before)

    after = about_zero(mixed(target, kernel))

    np.testing.assert_allclose(after, source - sandwiched(response(kernel), floor_of(before)), rtol=1e-8, atol=1e-9)
    if shape[0] > 1:
        swapped = about_zero(mixed(target, kernel.swapaxes(0, 1)))
        assert np.abs(swapped - after).max() > 0.1 * np.abs(source).max(), "channels must not be interchangeable"


# Turns.


@every_shape
def test_every_turn_leaves_the_power_as_it_is(shape: tuple[int, int, int]) -> None:
    source, target = about_zero(textured(shape, 21)), about_zero(textured(shape, 22))
    kernel = transport(source, target)
    draw = np.random.default_rng(23)
    turns = [np.linalg.qr(draw.normal(0, 1, (shape[0],) * 2))[0] for _ in range(3)]

    for found in turned(kernel, source, turns):
        after = sandwiched(response(found), target + floor_of(target))
        # Where a colour has hardly more power than the floor, a turn moves less than all of it.
        np.testing.assert_allclose(after, source, rtol=0, atol=1e-3 * np.abs(source).max())
        assert shape[0] == 1 or np.abs(found - kernel).max() > 0.01


@every_shape
def test_not_to_turn_is_the_same_kernel_and_to_invert_all_its_negative(shape: tuple[int, int, int]) -> None:
    source = about_zero(textured(shape, 24))
    kernel = transport(source, about_zero(textured(shape, 25)))

    same, negative = turned(kernel, source, [np.eye(shape[0]), -np.eye(shape[0])])

    np.testing.assert_allclose(same, kernel, **EXACT)
    np.testing.assert_allclose(negative, -kernel, **EXACT)


def test_a_turn_is_one_of_the_principal_colours() -> None:
    draw = np.random.default_rng(26)
    axes = np.linalg.qr(draw.normal(0, 1, (3, 3)))[0]
    # White in space, so that any order of the colours is told from any other by its effect on one pixel.
    images = np.einsum("cd,ndyx->ncyx", axes * [1.0, 2.0, 3.0], draw.normal(0, 1, (4000, 3, 4, 4)))
    source = about_zero(images)
    impulse = np.zeros((3, 3, 4, 4))
    impulse[range(3), range(3), 2, 2] = 1.0
    turn = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])

    (found,) = turned(impulse, source, [turn])

    scaled = axes * [1.0, 2.0, 3.0]
    expected = [scaled @ (way * turn) @ np.linalg.inv(scaled) for way in (1, [[1, -1, 1], [-1, 1, 1], [1, 1, 1]])]
    # An axis has no sign of its own, so that one of two goes to the other or to its negative.
    errors = [np.abs(found[:, :, 2, 2] - matrix).max() for matrix in expected]
    assert min(errors) < 0.2


# Patches.


@pytest.mark.parametrize(("shape", "size"), [((1, 6, 8), 3), ((1, 5, 5), 5), ((3, 7, 6), 3), ((2, 6, 5), 5)], ids=str)
def test_patch_covariance_is_that_of_all_patches_of_images_that_repeat(shape: tuple[int, int, int], size: int) -> None:
    images = textured(shape, 11, count=20)
    patches = [
        np.roll(images, (-down, -right), axis=(2, 3))[:, :, :size, :size].reshape(len(images), -1)
        for down in range(shape[1])
        for right in range(shape[2])
    ]
    every = np.concatenate(patches)

    np.testing.assert_allclose(patch_covariance(about_zero(images), size), every.T @ every / len(every), **EXACT)


@pytest.mark.parametrize(("shape", "size"), [((1, 8, 8), 5), ((3, 8, 8), 3)], ids=str)
def test_whitened_patches_have_no_covariance_but_for_the_floor(shape: tuple[int, int, int], size: int) -> None:
    covariance = patch_covariance(about_zero(textured(shape, 12)), size)

    basis = whitening(covariance)

    raised = covariance + FLOOR * np.linalg.eigvalsh(covariance)[-1] * np.eye(len(covariance))
    np.testing.assert_allclose(basis, basis.T, **EXACT)
    np.testing.assert_allclose(basis @ raised @ basis, np.eye(len(basis)), **EXACT)


def test_the_whitening_of_patches_that_never_change_is_finite() -> None:
    assert np.isfinite(whitening(np.zeros((9, 9)))).all()


@every_shape
def test_the_filter_for_images_that_never_change_is_one_that_float32_can_hold(shape: tuple[int, int, int]) -> None:
    source = about_zero(textured(shape, 13))

    for kernel in (transport(source, 0 * source), transport(0 * source, 0 * source)):
        assert np.abs(kernel).max() < 1e9
