"""Moments of channels and their slope are numpy's, whatever the shape and however far from zero."""

import numpy as np
import pytest
import torch

from trainer.losses.channel_moments import channel_moments

SHAPES = [(6, 4), (5, 3, 7), (4, 2, 5, 6), (2, 3, 4, 2, 3), (1, 1, 1, 1)]


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_they_are_those_of_float64(shape: tuple[int, ...], offset: float) -> None:
    values = np.random.default_rng(0).normal(offset, 1.0, shape).astype(np.float32)
    others = (0, *range(2, len(shape)))

    mean, var = channel_moments(torch.from_numpy(values))

    # Around 1000 a float32 has steps of 6e-5: as much of a mean, and of a spread of 1.
    np.testing.assert_allclose(mean.numpy(), values.mean(axis=others, dtype=np.float64), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(var.numpy(), values.astype(np.float64).var(axis=others), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_slope_is_that_of_finite_differences(shape: tuple[int, ...]) -> None:
    values = torch.from_numpy(np.random.default_rng(1).normal(3.0, 2.0, shape)).requires_grad_()

    assert torch.autograd.gradcheck(channel_moments, (values,))


def test_memory_in_another_order_changes_nothing() -> None:
    values = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(2))
    turned = values.to(memory_format=torch.channels_last)

    for first, second in zip(channel_moments(values), channel_moments(turned), strict=True):
        torch.testing.assert_close(first, second)


def test_a_steep_slope_of_a_channel_that_hardly_varies_keeps_its_digits() -> None:
    values = 1000.0 + 1e-2 * torch.randn(8, 1, 6, 6, generator=torch.Generator().manual_seed(3))
    values.requires_grad_()
    _, var = channel_moments(values)
    (1e6 * var.sum()).backward()

    wanted = 1e6 * 2.0 * (values.detach().double() - values.detach().double().mean()) / values.numel()
    assert values.grad is not None
    torch.testing.assert_close(values.grad.double(), wanted, rtol=0.02, atol=1.0)
