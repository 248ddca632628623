"""Copies are found, with a little noise too; other pictures, and moved ones, are not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist, pdist

from trainer.gate.duplicates import BLOCK, NEAR, SAMPLE, repeats, thumbnails


def pictures(count: int, seed: int = 0, shape: tuple[int, int, int] = (1, 28, 28)) -> np.ndarray:
    """Soft blobs between 0 and 1, as different as drawings are."""
    noise = np.random.default_rng(seed).normal(size=(count, *shape))
    return np.clip(0.5 + 2.0 * gaussian_filter(noise, (0, 0, 2.5, 2.5)), 0.0, 1.0).astype(np.float32)


def test_every_copy_but_the_first_is_found() -> None:
    images = pictures(40)
    batch = images[[0, 1, 2, 1, 3, 0, 1, 4, *range(5, 40)]]

    assert np.array_equal(np.flatnonzero(repeats(batch)), [3, 5, 6])


def test_copies_with_a_little_noise_are_found() -> None:
    images = pictures(40)
    noise = 0.02 * np.random.default_rng(1).normal(size=(10, 1, 28, 28))

    found = repeats(np.concatenate([images, images[:10] + noise]))

    assert np.array_equal(np.flatnonzero(found), np.arange(40, 50))


def test_a_picture_moved_by_a_pixel_is_another() -> None:
    images = pictures(40)

    assert not repeats(np.concatenate([images, np.roll(images[:10], 1, axis=3)])).any()


def test_among_equal_pictures_only_the_first_is_none() -> None:
    batch = np.repeat(pictures(1), 5, axis=0)

    assert np.array_equal(repeats(batch), [False, True, True, True, True])


def test_a_batch_of_copies_with_one_other_picture_keeps_the_other() -> None:
    one, other = pictures(2)
    batch = np.stack([one] * 6 + [other])

    assert np.array_equal(np.flatnonzero(~repeats(batch)), [0, 6])


def test_copies_are_found_where_arithmetic_does_not_say_nought() -> None:
    images = 255.0 * pictures(30, shape=(3, 28, 28))
    batch = np.concatenate([images, np.repeat(images[:1], 200, axis=0)])

    assert np.array_equal(np.flatnonzero(repeats(batch)), np.arange(30, 230))


def test_one_picture_repeats_nothing() -> None:
    assert np.array_equal(repeats(pictures(1)), [False])


def test_blocks_of_rows_find_what_all_pairs_find() -> None:
    images = pictures(BLOCK + 200, shape=(2, 8, 8))
    images[BLOCK + 3], images[700], images[20] = images[1], images[BLOCK + 9], images[5]

    small = images.reshape(len(images), -1).astype(np.float64)
    some = small[np.linspace(0, len(small) - 1, SAMPLE).astype(int)]
    near = np.tril(cdist(small, small) <= NEAR * np.median(pdist(some)), -1).any(axis=1)

    assert np.array_equal(np.flatnonzero(near), [20, BLOCK + 3, 700])
    assert np.array_equal(repeats(images), near)


def test_thumbnails_are_means_of_cells() -> None:
    images = np.random.default_rng(2).random((3, 2, 16, 24))

    expected = images.reshape(3, 2, 8, 2, 8, 3).mean(axis=(3, 5)).reshape(3, -1)
    np.testing.assert_allclose(thumbnails(images), expected)


@pytest.mark.parametrize("shape", [(28, 30), (9, 11), (5, 3)], ids=str)
def test_cells_that_share_pixels_keep_the_mean(shape: tuple[int, int]) -> None:
    images = np.random.default_rng(3).random((3, 1, *shape))

    small = thumbnails(images)

    assert small.shape == (3, min(8, shape[0]) * min(8, shape[1]))
    np.testing.assert_allclose(small.mean(axis=1), images.mean(axis=(1, 2, 3)))
