"""The differentiable loss is the numpy one, and its gradient stays finite where a channel says nothing."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from service.contract.distances import statistics_loss
from service.contract.statistics import ChannelMoments, ImageMoments
from trainer.losses.moments import MomentLoss

CLOSE = 2e-5
"""Relative. Moments of at most a few hundred float32 values of order 1, squared, against float64: 1e-6 a value, and a
mean lost in a sum of terms of either sign costs another digit."""

Activations = Mapping[str, np.ndarray]


def draw(seed: int, shapes: Mapping[str, tuple[int, ...]], scale: float = 1.0, offset: float = 0.0) -> Activations:
    random = np.random.default_rng(seed)
    return {name: random.normal(offset, scale, shape).astype(np.float32) for name, shape in shapes.items()}


def moments(activations: Activations) -> dict[str, ChannelMoments]:
    return {name: ImageMoments.of(value).pooled() for name, value in activations.items()}


def tensors(activations: Activations) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in activations.items()}


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(2, 9),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    scale=st.floats(0.3, 3.0),
    offset=st.floats(-3.0, 3.0),
)
def test_it_is_the_loss_that_the_contract_defines(
    seed: int, images: int, channels: tuple[int, int], scale: float, offset: float
) -> None:
    shapes = {"shallow": (images, channels[0], 5, 4), "deep": (images, channels[1], 3, 2)}
    source, target = draw(seed, shapes), draw(seed + 1, shapes, scale, offset)

    loss = MomentLoss(moments(source))(tensors(target))

    expected = statistics_loss(moments(target), moments(source), ["shallow", "deep"])
    assert float(loss) == pytest.approx(expected, rel=CLOSE, abs=1e-6)


def test_every_tap_weighs_the_same_whatever_its_width() -> None:
    source = draw(0, {"wide": (8, 50, 4, 4), "narrow": (8, 1, 4, 4)})
    target = {"wide": source["wide"], "narrow": source["narrow"] + np.float32(source["narrow"].std())}

    # One standard deviation away at one tap of two.
    assert float(MomentLoss(moments(source))(tensors(target))) == pytest.approx(0.5, rel=1e-4)


def test_taps_that_are_not_compared_are_not_looked_at() -> None:
    source, target = (draw(seed, {"a": (4, 2, 3, 3)}) for seed in (0, 1))
    loss = MomentLoss(moments(source))

    assert loss.taps == ("a",)
    assert float(loss(tensors(target))) == float(loss(tensors({**target, "b": target["a"]})))


def test_it_is_zero_for_the_source_itself() -> None:
    source = draw(3, {"a": (6, 4, 5, 5)})

    assert float(MomentLoss(moments(source))(tensors(source))) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("constant_in_source", [False, True], ids=["varies in the source", "constant in the source"])
@pytest.mark.parametrize("whole_tap", [False, True], ids=["one channel", "all channels"])
def test_a_constant_channel_keeps_loss_and_gradient_finite(*, constant_in_source: bool, whole_tap: bool) -> None:
    channels = slice(None) if whole_tap else slice(0, 1)
    source, target = (dict(draw(seed, {"a": (4, 3, 5, 5)})) for seed in (0, 1))
    target["a"][:, channels] = 0.25
    if constant_in_source:
        source["a"][:, channels] = 0.75
    activation = torch.from_numpy(target["a"]).requires_grad_()

    loss = MomentLoss(moments(source))({"a": activation})
    loss.backward()

    assert loss.isfinite()
    assert activation.grad is not None
    assert activation.grad.isfinite().all()
    # The mean of a constant channel can still be moved.
    assert activation.grad[:, 0].abs().min() > 0


def test_the_gradient_is_that_of_finite_differences() -> None:
    source, target = (draw(seed, {"a": (3, 2, 4, 4)}) for seed in (0, 1))
    activation = torch.from_numpy(target["a"]).requires_grad_()
    MomentLoss(moments(source))({"a": activation}).backward()
    assert activation.grad is not None
    step, direction = 1e-5, np.random.default_rng(2).normal(size=target["a"].shape)

    def at(distance: float) -> float:
        moved = {"a": target["a"].astype(np.float64) + distance * direction}
        return statistics_loss(moments(moved), moments(source), ["a"])

    slope = (at(step) - at(-step)) / (2 * step)
    assert float((activation.grad.numpy() * direction).sum()) == pytest.approx(slope, rel=1e-4)
