"""A first layer that whitens patches: against numpy's covariance, and as it stays while the rest is trained."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from trainer.studies.zoo.whitening import whitening


def pictures(count: int, channels: int, seed: int) -> torch.Tensor:
    """Neighbouring pixels nearly agree, and so do channels."""
    draw = np.random.default_rng(seed)
    smooth = gaussian_filter(draw.normal(0, 1, (count, channels, 12, 11)), (0, 0.5, 1, 1))
    return torch.from_numpy((smooth / smooth.std()).astype(np.float32))


def patches(images: torch.Tensor, kernel: int) -> np.ndarray:
    """All patches of all images, (positions, C k^2)."""
    return functional.unfold(images, kernel).transpose(1, 2).flatten(0, 1).numpy().astype(np.float64)


@pytest.mark.parametrize(("channels", "kernel"), [(1, 2), (3, 2), (3, 3)])
def test_behind_it_every_direction_has_the_same_variance_and_none_tells_of_another(channels: int, kernel: int) -> None:
    images = pictures(200, channels, 1)
    layer = whitening(images, kernel)

    found = layer(images).detach().transpose(0, 1).flatten(1).numpy().astype(np.float64)

    directions = channels * kernel**2
    assert found.shape[0] == 2 * directions
    np.testing.assert_allclose(found[:directions], -found[directions:], rtol=0, atol=1e-5)
    covariance, before = np.cov(found[:directions]), np.linalg.eigvalsh(np.cov(patches(images, kernel).T))
    # What the floor takes: a direction of variance v is left with v / (v + 5e-4).
    np.testing.assert_allclose(covariance, np.diag(before / (before + 5e-4)), rtol=0, atol=1e-3)


def test_a_direction_in_which_nothing_changes_stays_finite() -> None:
    images = pictures(50, 1, 2).mean(dim=(2, 3), keepdim=True).expand(-1, 1, 12, 11)

    assert layer_is_finite(images)
    assert layer_is_finite(torch.zeros(5, 3, 8, 8))


def layer_is_finite(images: torch.Tensor) -> bool:
    return bool(torch.isfinite(whitening(images)(images)).all())


def test_training_leaves_it_as_it_is() -> None:
    images = pictures(50, 3, 3)
    layer = whitening(images)
    net = torch.nn.Sequential(layer, torch.nn.ReLU(), torch.nn.Conv2d(24, 4, 3))
    before = layer.weight.clone()

    net(images).square().mean().backward()
    torch.optim.SGD(net.parameters(), lr=1.0, weight_decay=0.5).step()

    torch.testing.assert_close(layer.weight, before, rtol=0, atol=0)
