"""The mean image and the cross-spectrum of a fingerprint are numpy's, and few images are not shown by their mean."""

import numpy as np
import pytest

from service.contract.fingerprint import PixelStatistics
from tests.trainer.test_fingerprinting import fingerprint, resized, uniform
from trainer.datasets import Dataset
from trainer.fingerprinting import FEWEST_IN_MEAN, MOST_MEAN_VALUES, _image_mean

SHAPES = {"grey": (1, 7, 10), "colour": (3, 10, 6)}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def pixels_of(content: bytes, images: np.ndarray) -> PixelStatistics:
    found = fingerprint(resized(content, images.shape[1:]), Dataset(images, None)).pixels
    assert found is not None
    return found


@every_shape
def test_the_mean_image_is_numpys(tiny_onnx: bytes, shape: tuple[int, int, int]) -> None:
    images = uniform(150, shape) * uniform(1, shape, seed=4)

    found = pixels_of(tiny_onnx, images)

    assert found.image_mean is not None
    np.testing.assert_allclose(found.image_mean, images.mean(axis=0, dtype=np.float64), rtol=0, atol=1e-12)


@every_shape
def test_the_cross_spectrum_is_that_of_what_the_mean_image_leaves(
    tiny_onnx: bytes, shape: tuple[int, int, int]
) -> None:
    images = uniform(150, shape) * uniform(1, shape, seed=4)
    images[:, 0] += np.roll(images[:, -1], 1, axis=2)
    centred = images.astype(np.float64) - images.mean(axis=0, dtype=np.float64)
    waves = np.fft.fft2(centred) / np.sqrt(shape[1] * shape[2])

    found = pixels_of(tiny_onnx, images).cross_spectrum

    assert found is not None
    for row in range(shape[0]):
        for column in range(shape[0]):
            expected = (waves[:, row] * waves[:, column].conj()).mean(axis=0)
            np.testing.assert_allclose(found[row, column], expected, rtol=0, atol=1e-12)


@every_shape
def test_both_are_in_the_file(tiny_onnx: bytes, shape: tuple[int, int, int]) -> None:
    # `fingerprint` reads what registration wrote.
    found = pixels_of(tiny_onnx, uniform(128, shape))

    assert found.image_mean is not None and found.cross_spectrum is not None
    assert (found.image_mean.shape, found.image_mean.dtype) == (shape, np.float64)
    assert (found.cross_spectrum.shape, found.cross_spectrum.dtype) == ((shape[0], *shape), np.complex128)


@pytest.mark.parametrize(
    ("count", "shape", "is_image"),
    [
        (FEWEST_IN_MEAN - 1, (1, 8, 8), False),
        (FEWEST_IN_MEAN, (1, 8, 8), True),
        (FEWEST_IN_MEAN, (3, 6, 9), True),
        (FEWEST_IN_MEAN, (1, 1, MOST_MEAN_VALUES), True),
        (FEWEST_IN_MEAN, (1, 1, MOST_MEAN_VALUES + 1), False),
        (FEWEST_IN_MEAN, (3, 295, 295), True),
        (FEWEST_IN_MEAN, (3, 296, 296), False),
    ],
    ids=str,
)
def test_the_mean_of_few_or_large_images_is_a_number_for_each_channel(
    count: int, shape: tuple[int, int, int], *, is_image: bool
) -> None:
    channels = np.linspace(0.2, 0.8, shape[0]).reshape(-1, 1, 1)

    found = _image_mean(np.broadcast_to(channels, (count, *shape)))

    assert found.shape == (shape if is_image else (shape[0], 1, 1))
    np.testing.assert_allclose(found, np.broadcast_to(channels, found.shape), rtol=1e-12)
