"""The paper's differentiable losses are the numpy ones, with a finite gradient where nothing differs."""

import numpy as np
import pytest
import torch

from service.contract.norm_distances import class_norm_loss, norm_loss
from service.contract.statistics import ImageMoments
from trainer.losses.norms import ClassNormLoss, NormLoss
from trainer.losses.smoothness import roughness

CLOSE = 2e-5
"""Relative: float32 against float64 on a few hundred values of order 1."""
CLASSES = 4
SHAPES = {"map": (12, 5, 4, 3), "vector": (12, 7)}


def draw(seed: int, scale: float = 1.0, offset: float = 0.0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.normal(offset, scale, shape).astype(np.float32) for name, shape in SHAPES.items()}


def tensors(activations: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in activations.items()}


def pooled(activations):
    return {name: ImageMoments.of(value).pooled() for name, value in activations.items()}


def by_class(activations, labels):
    return {
        name: [
            ImageMoments.of(value[labels == index]).pooled() if (labels == index).any() else None
            for index in range(CLASSES)
        ]
        for name, value in activations.items()
    }


@pytest.mark.parametrize("offset", [0.0, 20.0], ids=["centred", "far from zero"])
def test_it_is_the_loss_that_the_contract_defines(offset: float) -> None:
    source, target = draw(0, offset=offset), draw(1, 2.0, offset + 0.5)

    loss = NormLoss(pooled(source))(tensors(target))

    assert float(loss) == pytest.approx(norm_loss(pooled(target), pooled(source), SHAPES), rel=CLOSE)


@pytest.mark.parametrize("offset", [0.0, 20.0], ids=["centred", "far from zero"])
def test_class_by_class_it_is_the_loss_that_the_contract_defines(offset: float) -> None:
    source, target = draw(0, offset=offset), draw(1, 2.0, offset + 0.5)
    # The source has no class 3, the target no class 1.
    known, labels = np.arange(12) % 3, np.array([0, 2, 3] * 4)

    loss = ClassNormLoss(by_class(source, known))(tensors(target), torch.from_numpy(labels))

    expected = class_norm_loss(by_class(target, labels), by_class(source, known), SHAPES)
    assert float(loss) == pytest.approx(expected, rel=CLOSE)


def test_a_batch_without_a_known_class_is_refused() -> None:
    source = draw(0)
    loss = ClassNormLoss(by_class(source, np.zeros(12, int)))

    with pytest.raises(ValueError, match="share"):
        loss(tensors(source), torch.full((12,), 2))


def test_the_gradient_is_that_of_finite_differences() -> None:
    labels = torch.arange(4) % 2
    moments = {"a": ImageMoments.of(np.random.default_rng(0).normal(size=(6, 2, 3))).pooled()}
    classes = {"a": [moments["a"], moments["a"], None]}
    x = torch.from_numpy(np.random.default_rng(1).normal(1, 2, (4, 2, 3))).requires_grad_()

    # The losses hold float32 constants; in float64 the differences are exact enough.
    assert torch.autograd.gradcheck(lambda v: NormLoss(moments)({"a": v}), x)
    assert torch.autograd.gradcheck(lambda v: ClassNormLoss(classes)({"a": v}, labels), x)


def test_the_gradient_is_finite_where_nothing_differs() -> None:
    x = torch.ones(4, 2, 3, requires_grad=True)
    moments = {"a": ImageMoments.of(np.ones((4, 2, 3))).pooled()}

    NormLoss(moments)({"a": x}).backward()

    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_roughness_of_a_step_is_its_length_in_each_direction() -> None:
    # A vertical edge of height 2 in a picture of 3 x 4: 3 steps right, none down, 2 in either diagonal.
    image = torch.zeros(1, 1, 3, 4)
    image[..., 2:] = 2.0

    assert float(roughness(image)) == pytest.approx(2 * (3**0.5 + 2**0.5 + 2**0.5))
    assert float(roughness(torch.cat([image, torch.ones_like(image)]))) == pytest.approx(3**0.5 + 2 * 2**0.5)
