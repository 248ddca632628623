"""Each ingredient does what it says, computed a second time: by closed forms, torch, Pillow."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from trainer.shifts import choices, geometry, hostile, optics, sensor, tones
from trainer.shifts.distortion import Distortion
from trainer.shifts.kind import Labelled, Scene

GREY, COLOUR = (1, 12, 10), (3, 12, 10)
SHAPES = pytest.mark.parametrize("shape", [GREY, COLOUR], ids=["grey", "colour"])


def pictures(shape: tuple[int, int, int], count: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *shape), dtype=np.float32)


def batch_of(count: int, classes: int = 5, shape: tuple[int, int, int] = GREY) -> Labelled:
    """Images that are all different, and labels in turn."""
    return Labelled(pictures(shape, count), np.arange(count, dtype=np.int64) % classes)


# Tones.


def test_gamma_is_a_power_and_clips_as_a_camera_does() -> None:
    np.testing.assert_allclose(tones.bent(np.float32([[[[0.25, -1.0, 2.0]]]]), 0.5), [[[[0.5, 0.0, 1.0]]]])


def test_a_colour_matrix_acts_on_the_channels_of_each_pixel() -> None:
    images, matrix, offset = pictures(COLOUR), np.array([[0.5, 0.1, 0], [0, 0.4, 0.2], [0.3, 0, 0.3]]), np.full(3, 0.1)

    changed = tones.recoloured(images, matrix, offset)

    np.testing.assert_allclose(changed[4, :, 7, 3], matrix @ images[4, :, 7, 3] + offset, rtol=1e-6)


def test_a_negative_with_full_contrast_is_one_minus_the_image() -> None:
    images = pictures(GREY)

    np.testing.assert_allclose(tones.inverted_with(images, 1.0), 1 - images, atol=1e-7)
    assert np.ptp(tones.inverted_with(images, 0.5)) == pytest.approx(0.5 * np.ptp(images), rel=1e-5)


# Optics.


@pytest.mark.parametrize("sigma", [0.7, 1.6])
def test_blur_is_a_normalised_gaussian(sigma: float) -> None:
    images = np.zeros((1, 1, 21, 21), np.float32)
    images[0, 0, 10, 10] = 1

    blurred = optics.blurred(images, sigma)

    bell = np.exp(-(np.arange(-10, 11) ** 2) / (2 * sigma**2))
    # scipy cuts the bell at four sigma.
    np.testing.assert_allclose(blurred[0, 0], np.outer(bell, bell) / bell.sum() ** 2, atol=2e-4)


def test_blur_keeps_channels_images_and_flat_areas_apart() -> None:
    images = np.broadcast_to(np.float32([[0.2, 0.5, 0.9], [0.1, 0.3, 0.6]])[:, :, None, None], (2, 3, 8, 8))

    np.testing.assert_allclose(optics.blurred(images, 1.5), images, atol=1e-6)


def test_a_vignette_leaves_its_centre_and_takes_most_from_the_farthest_corner() -> None:
    white = np.ones((1, 2, 9, 9), np.float32)

    dimmed = optics.vignetted(white, 0.5, (0.0, 0.0))
    off_centre = optics.vignetted(white, 0.5, (0.25, 0.25))

    assert dimmed[0, 0, 4, 4] == 1
    np.testing.assert_allclose(dimmed[0, :, [0, 0, 8, 8], [0, 8, 0, 8]], 0.25)
    np.testing.assert_allclose(dimmed[0, 0, 4, 0], (1 - 0.5 * 0.5) ** 2)
    assert (off_centre[0, 0, 5, 5], off_centre.argmin()) == (1, 0)


# Geometry.


@SHAPES
def test_a_warp_is_what_torch_samples(shape: tuple[int, int, int]) -> None:
    images = pictures(shape)
    matrix, move = np.array([[0.9, -0.2], [0.15, 1.2]]), np.array([0.8, -1.3])

    warped = geometry.warped(images, matrix, move)

    # torch has columns first, and -1 to 1 from corner to corner.
    half = (np.array(shape[1:]) - 1) / 2
    theta = np.diag(1 / half) @ np.column_stack([matrix @ np.diag(half), move])
    theta = theta[::-1][:, [1, 0, 2]].copy()
    grid = functional.affine_grid(
        torch.from_numpy(theta).float().expand(len(images), 2, 3), list(images.shape), align_corners=True
    )
    expected = functional.grid_sample(torch.from_numpy(images), grid, padding_mode="border", align_corners=True)
    np.testing.assert_allclose(warped, expected.numpy(), atol=1e-4)


# Sensor.


def test_noise_has_its_deviation_and_differs_from_image_to_image() -> None:
    step, settings = sensor.noise(Scene.of(pictures(GREY)), np.random.default_rng(3))
    grey = Labelled(np.full((400, *GREY), 0.5, np.float32), np.zeros(400, np.int64))

    noisy = step(grey, np.random.default_rng(4)).images

    assert settings["deviation"] < 0.15, "else it is clipped"
    # Four standard errors of a standard deviation.
    assert noisy.std() == pytest.approx(settings["deviation"], rel=4 / (2 * noisy.size) ** 0.5)
    assert not np.array_equal(noisy[0], noisy[1])


def test_stuck_pixels_are_the_same_in_every_image_and_columns_are_offset_elsewhere() -> None:
    images = 0.3 + 0.4 * pictures(GREY)
    where = np.zeros(GREY[1:], np.bool_)
    where[2, 5] = where[7, 1] = True
    value, columns = np.ones(GREY, np.float32), np.linspace(-0.1, 0.1, 10, dtype=np.float32)

    changed = sensor.stuck_at(images, where, value, columns)

    assert (changed[:, :, where] == 1).all()
    np.testing.assert_allclose((changed - images)[:, 0, 3, :], np.tile(columns, (6, 1)), atol=1e-6)


@pytest.mark.parametrize(("shape", "mode"), [(GREY, "L"), (COLOUR, "RGB"), ((2, 12, 10), "L")], ids=repr)
def test_jpeg_is_pillows_one_picture_at_a_time(shape: tuple[int, int, int], mode: str) -> None:
    images = pictures(shape)

    changed = sensor.compressed(images, 20)

    pixels = np.rint(images[3] * 255).astype(np.uint8)
    arrays = [pixels.transpose(1, 2, 0)] if mode == "RGB" else list(pixels)
    decoded = []
    for array in arrays:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "JPEG", quality=20)
        opened = Image.open(buffer)
        assert opened.mode == mode
        decoded.append(np.asarray(opened, np.float32) / 255)
    expected = decoded[0].transpose(2, 0, 1) if mode == "RGB" else np.stack(decoded)
    np.testing.assert_allclose(changed[3], expected, atol=1e-6)
    assert 0.01 < np.abs(changed - images).mean() < 0.5


@SHAPES
def test_the_papers_distortion_acts_in_units_of_the_pixels_deviation_and_clips_nothing(shape) -> None:
    images = 0.2 + 0.05 * pictures(shape)
    scene = Scene.of(images)
    distortion = Distortion.draw(shape, 0.3, 7)

    changed = sensor.distorted(images, distortion, scene)

    mean, std = (np.asarray(v, np.float64).reshape(-1, 1, 1) for v in (scene.mean, scene.std))
    normalised = torch.from_numpy(((images - mean) / std).astype(np.float32))
    np.testing.assert_allclose((changed - mean) / std, distortion(normalised).numpy(), atol=1e-3)
    far_off = sensor.distorted(np.full_like(images, -3.0), distortion, scene)
    assert np.abs(far_off).max() > 2, "a camera would have clipped it"


def test_a_scene_has_the_mean_and_deviation_of_each_channel() -> None:
    images = pictures(COLOUR) * np.float32([0.5, 1.0, 0.0]).reshape(1, 3, 1, 1)

    scene = Scene.of(images)

    assert scene.shape == COLOUR
    np.testing.assert_allclose(scene.mean, [channel.mean() for channel in images.transpose(1, 0, 2, 3)], rtol=1e-5)
    np.testing.assert_allclose(scene.std[:2], [images[:, i].std() for i in (0, 1)], rtol=1e-4)
    assert scene.std[2] > 0, "what is flat must not be divided by"


# Choices.


def test_a_skewed_part_has_the_shares_asked_for_and_no_image_twice() -> None:
    pool = batch_of(500)

    found = choices.skewed(pool, {0: 0.5, 1: 0.25, 2: 0.25, 3: 0.0}, np.random.default_rng(0))

    assert np.bincount(found.labels).tolist() == [100, 50, 50]
    assert len(np.unique(found.images[:, 0, 0, 0])) == 200
    assert len(np.unique(found.labels[:8])) > 1, "in random order"


@pytest.mark.parametrize("count", [1, 3])
def test_some_classes_alone_are_all_of_their_images(count: int) -> None:
    step, _ = choices.classes(count)(Scene.of(pictures(GREY)), np.random.default_rng(0))

    found = step(batch_of(100), np.random.default_rng(1))

    assert np.unique(np.bincount(found.labels)[np.unique(found.labels)]).tolist() == [20]
    assert len(np.unique(found.labels)) == count


def test_a_few_distinct_images_are_repeated_about_equally_often_and_keep_their_labels() -> None:
    pool = batch_of(200)
    step, settings = choices.repeated(Scene.of(pool.images), np.random.default_rng(2))

    found = step(pool, np.random.default_rng(3))

    values, counts = np.unique(found.images[:, 0, 0, 0], return_counts=True)
    assert (len(found.labels), len(values)) == (200, settings["distinct"])
    assert np.ptp(counts) <= 1
    label_of = dict(zip(pool.images[:, 0, 0, 0].tolist(), pool.labels.tolist(), strict=True))
    assert found.labels.tolist() == [label_of[value] for value in found.images[:, 0, 0, 0].tolist()]


def test_halves_shift_every_image_one_way_or_the_other() -> None:
    step, settings = choices.halves(tones.inverted, tones.gamma)(Scene.of(pictures(GREY)), np.random.default_rng(0))
    batch = batch_of(41)

    found = step(batch, np.random.default_rng(1)).images

    negative = tones.inverted_with(batch.images, settings["contrast"])
    bent = tones.bent(batch.images, settings["exponent"])
    is_negative, is_bent = ((found == other).all(axis=(1, 2, 3)) for other in (negative, bent))
    assert (is_negative ^ is_bent).all()
    assert is_negative.sum() in (20, 21)


# Hostile.


def test_junk_is_flat_or_noise() -> None:
    found = hostile.junk_pictures(10, COLOUR, np.random.default_rng(0))

    spread = np.ptp(found, axis=(1, 2, 3))
    assert (spread[1::2] == 0).all()
    assert (spread[::2] > 0.9).all()


def test_stripes_have_two_levels_far_outside_a_cameras_and_none_is_like_the_next() -> None:
    found = hostile.stripes(20, COLOUR, np.random.default_rng(0))

    assert np.unique(found).tolist() == [hostile.DARKEST, hostile.BRIGHTEST]
    assert found.shape == (20, *COLOUR)
    assert len({picture.tobytes() for picture in found}) > 10


@pytest.mark.parametrize("shape", [GREY, (3, 7, 9)], ids=repr)
def test_look_alikes_have_the_very_pixels_of_their_image_in_another_place(shape: tuple[int, int, int]) -> None:
    images = pictures(shape)
    step, _ = hostile.look_alikes(0.5)(Scene.of(images), np.random.default_rng(0))
    batch = Labelled(images, np.arange(6))

    found = step(batch, np.random.default_rng(1))

    changed = (found.images != images).any(axis=(1, 2, 3))
    assert changed.sum() == 3
    pixels = [np.sort(side.reshape(6, shape[0], -1), axis=2) for side in (found.images, images)]
    np.testing.assert_array_equal(*pixels)
    assert np.abs(found.images - images)[changed].mean() > 0.1
    assert found.labels.tolist() == list(range(6))


def test_blocks_go_where_the_order_says() -> None:
    images = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)

    found = hostile.reordered(images, np.array([3, 2, 1, 0]))

    assert found[0, 0].tolist() == [[10, 11, 8, 9], [14, 15, 12, 13], [2, 3, 0, 1], [6, 7, 4, 5]]


@pytest.mark.parametrize(("count", "share", "expected"), [(200, 0.05, 10), (512, 0.01, 5), (20, 0.01, 1)])
def test_a_poison_replaces_its_share_and_at_least_one(count: int, share: float, expected: int) -> None:
    batch = batch_of(count)
    step, settings = hostile.outliers(share)(Scene.of(batch.images), np.random.default_rng(0))

    found = step(batch, np.random.default_rng(1))

    assert settings == {"share": share}
    assert (found.images != batch.images).any(axis=(1, 2, 3)).sum() == expected
