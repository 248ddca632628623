"""A loss of all images has the same gradient in pieces as at once."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from service.contract.statistics import ChannelMoments, ImageMoments
from trainer import whole
from trainer.losses.moments import MomentLoss
from trainer.losses.norms import NormLoss
from trainer.whole import backward, pieces

IMAGES, CLASSES = 11, 3


class Case:
    """A small net with two taps, images, labels, and source moments that are not theirs."""

    def __init__(self, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.images = torch.rand(IMAGES, 2, 6, 6, generator=draw) + 5.0
        self.labels = torch.randint(0, CLASSES, (IMAGES,), generator=draw)
        torch.manual_seed(seed)
        self.first, self.second = nn.Conv2d(2, 4, 3), nn.Linear(4, CLASSES)
        random = np.random.default_rng(seed)
        self.source = {name: _moments(random, width) for name, width in (("conv", 4), ("scores", CLASSES))}

    def forward(self, rows: Tensor) -> tuple[Mapping[str, Tensor], Tensor]:
        conv = self.first(self.images[rows])
        scores = self.second(functional.relu(conv).mean(dim=(2, 3)))
        return {"conv": conv, "scores": scores}, functional.cross_entropy(scores, self.labels[rows])

    def gradient(self) -> Tensor:
        parameters = [*self.first.parameters(), *self.second.parameters()]
        gradients = [p.grad for p in parameters if p.grad is not None]
        assert len(gradients) == len(parameters)
        for parameter in parameters:
            parameter.grad = None
        return torch.cat([gradient.flatten() for gradient in gradients])


def _moments(random: np.random.Generator, width: int) -> ChannelMoments:
    return ImageMoments.of(random.normal(0.5, 1.5, (20, width, 4))).pooled()


@pytest.mark.parametrize("loss", [MomentLoss, NormLoss])
@pytest.mark.parametrize("sizes", [(4, 4, 3), (10, 1), (1,) * IMAGES])
def test_pieces_of_any_size_give_the_gradient_and_the_loss_of_all_at_once(
    loss: type[MomentLoss | NormLoss], sizes: tuple[int, ...]
) -> None:
    case = Case(seed=3)
    statistics, everything = loss(case.source), torch.arange(IMAGES)
    taps, criterion = case.forward(everything)
    expected = statistics(taps) + criterion
    expected.backward()
    wanted = case.gradient()

    for rows in ([everything], list(everything.split(list(sizes)))):
        found = backward(statistics, case.forward, rows)

        # The mean of these images is five times their spread: a digit of float32 goes in their squares.
        assert found == pytest.approx(expected.item(), rel=1e-4)
        torch.testing.assert_close(case.gradient(), wanted, rtol=2e-3, atol=2e-5)


def test_gradients_are_added_to_what_is_there() -> None:
    case = Case(seed=4)
    statistics, rows = MomentLoss(case.source), list(torch.arange(IMAGES).split(4))
    backward(statistics, case.forward, rows)
    once = case.gradient()

    for _ in range(2):
        backward(statistics, case.forward, rows)

    torch.testing.assert_close(case.gradient(), 2 * once)


def test_every_image_is_in_one_piece_and_no_piece_is_larger_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(whole, "MOST_VALUES", 100)

    found = pieces(torch.zeros(7, 1, 6, 6))

    assert [len(part) for part in found] == [2, 2, 2, 1]
    assert torch.cat(list(found)).tolist() == list(range(7))


def test_an_image_that_is_larger_than_there_is_room_for_has_a_piece_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(whole, "MOST_VALUES", 10)

    assert [len(part) for part in pieces(torch.zeros(3, 1, 6, 6))] == [1, 1, 1]
