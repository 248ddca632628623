"""The perturbation is the paper's, computed a second time by scipy; it is one draw for all images, by its own seed."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from trainer.shifts.distortion import Distortion

SHAPES = [(1, 9, 7), (3, 6, 8)]


def by_scipy(distortion: Distortion, images: np.ndarray) -> np.ndarray:
    x = images.astype(np.float64) + distortion.pattern.numpy()
    for index in range(2):
        kernel, bias = (distortion.get_buffer(f"{part}{index}").numpy() for part in ("kernel", "bias"))
        # scipy's "mirror" is torch's "reflect": the edge itself is not repeated.
        x = np.stack(
            [
                [
                    sum(correlate(channel, weights, mode="mirror") for channel, weights in zip(image, row, strict=True))
                    + shift
                    for row, shift in zip(kernel, bias, strict=True)
                ]
                for image in x
            ]
        )
    return x


@pytest.mark.parametrize("shape", SHAPES, ids=["grey", "colour"])
def test_it_is_what_scipy_computes(shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).normal(0, 2, (3, *shape)).astype(np.float32)
    distortion = Distortion.draw(shape, 0.3, seed=5)

    distorted = distortion(torch.from_numpy(images))

    np.testing.assert_allclose(distorted, by_scipy(distortion, images), atol=1e-4)


def test_without_strength_it_is_the_identity() -> None:
    images = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(Distortion.draw((3, 6, 8), 0.0, seed=1)(images), images)


def test_every_number_is_normal_noise_of_strength_kappa_around_the_identity() -> None:
    shape, kappa = (3, 32, 32), 0.15
    draws = [Distortion.draw(shape, kappa, seed) for seed in range(200)]

    pattern = torch.stack([d.pattern for d in draws])
    kernels = torch.cat([torch.stack([d.get_buffer(f"kernel{i}") for d in draws]) for i in range(2)])
    biases = torch.cat([torch.stack([d.get_buffer(f"bias{i}") for d in draws]) for i in range(2)])
    identity = torch.zeros(3, 3, 3, 3)
    identity[range(3), range(3), 1, 1] = 1
    for values, count in ((pattern, 614_400), (kernels - identity, 32_400), (biases, 1_200)):
        # Four standard errors of a mean and of a standard deviation.
        assert values.numel() == count
        assert abs(float(values.mean())) < 4 * kappa / count**0.5
        assert abs(float(values.std()) / kappa - 1) < 4 / (2 * count) ** 0.5


def test_the_pattern_is_the_same_for_every_image_and_nothing_is_clamped() -> None:
    distortion = Distortion.draw((1, 5, 5), 0.3, seed=2)

    black, bright = distortion(torch.zeros(2, 1, 5, 5)), distortion(torch.full((1, 1, 5, 5), 100.0))

    assert torch.equal(black[0], black[1])
    assert bright.abs().max() > 50


def test_a_draw_is_its_seeds_alone() -> None:
    torch.manual_seed(0)
    first = Distortion.draw((1, 5, 5), 0.3, seed=3)
    torch.manual_seed(1)
    again, other = (Distortion.draw((1, 5, 5), 0.3, seed=seed) for seed in (3, 4))

    assert torch.equal(first.pattern, again.pattern)
    assert not torch.equal(first.pattern, other.pattern)
