"""The game of four groups: who learns what from whom, and where the pixel discriminator looks."""

from collections import Counter

import pytest
import torch
from torch import nn

from trainer.adversarial.discriminators import GROUPS, PixelDiscriminator, feature_discriminator
from trainer.adversarial.game import SOURCE, Game, Seen

pytestmark = pytest.mark.usefixtures("one_thread")


class Spying(nn.Module):
    """Takes the place of a network and keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen.append(pixels)
        return torch.zeros(len(pixels), GROUPS)


def seen(level: float, count: int = 64, seed: int = 0) -> Seen:
    draw = torch.Generator().manual_seed(seed)
    return Seen(torch.rand((count, 5), generator=draw) + level, torch.rand((count, 1, 8, 8), generator=draw) + level)


def game(**changed: float) -> tuple[Game, nn.Sequential, PixelDiscriminator]:
    torch.manual_seed(0)
    by_features, by_pixels = feature_discriminator(5, (16,)), PixelDiscriminator(1, 4, 16)
    return Game(by_features, by_pixels, rate=0.01, draw=torch.Generator().manual_seed(0)), by_features, by_pixels


def test_patches_are_drawn_from_the_whole_image_each_place_as_often() -> None:
    discriminator, draw = PixelDiscriminator(1, 4, 8), torch.Generator().manual_seed(0)
    spy = discriminator.net = Spying()
    # Every pixel says in which of the six fields of the grid it lies.
    field = (torch.arange(8)[:, None] // 4) * 3 + torch.arange(12)[None] // 4
    images = field.float().expand(2, 1, 8, 12)

    for _ in range(600):
        discriminator(images, draw)

    found = Counter(int(pixels[0, 0]) for pixels in spy.seen)
    assert all((pixels == pixels[0, 0]).all() for pixels in spy.seen)
    assert set(found) == set(range(6))
    assert min(found.values()) > 60


@pytest.mark.parametrize("side", [4, 5, 7, 9, 13])
def test_every_pixel_of_an_odd_sized_image_is_in_some_patch(side: int) -> None:
    discriminator, draw = PixelDiscriminator(1, 4, 8), torch.Generator().manual_seed(0)
    spy = discriminator.net = Spying()
    numbered = torch.arange(float(side * side)).reshape(1, 1, side, side)

    for _ in range(300):
        discriminator(numbered, draw)

    assert set(torch.cat(spy.seen).flatten().tolist()) == set(range(side * side))


def test_pixels_are_shuffled_alike_in_all_images_of_a_call_and_anew_in_the_next() -> None:
    discriminator, draw = PixelDiscriminator(1, 4, 8), torch.Generator().manual_seed(0)
    spy = discriminator.net = Spying()
    images = torch.arange(16.0).reshape(1, 1, 4, 4).repeat(3, 1, 1, 1)

    discriminator(images, draw)
    discriminator(images, draw)

    first, second = spy.seen
    assert torch.equal(first[0].sort().values, torch.arange(16.0))
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first[0], torch.arange(16.0))
    assert not torch.equal(first[0], second[0])


def test_colours_of_a_pixel_stay_together() -> None:
    discriminator, draw = PixelDiscriminator(3, 4, 8), torch.Generator().manual_seed(0)
    spy = discriminator.net = Spying()
    grey = torch.arange(16.0).reshape(1, 1, 4, 4)

    discriminator(torch.cat([grey, grey + 100, grey + 200], dim=1), draw)

    red, green, blue = spy.seen[0][0].chunk(3)
    assert torch.equal(red + 100, green)
    assert torch.equal(red + 200, blue)


def test_both_discriminators_learn_to_tell_the_groups_apart() -> None:
    rules, by_features, by_pixels = game()
    levels = (0.0, 3.0, 6.0, 9.0)

    for step in range(300):
        rules.learn(tuple(seen(level, seed=step) for level in levels))

    by_features.eval()
    draw = torch.Generator().manual_seed(1)
    for group, level in enumerate(levels):
        fresh = seen(level, seed=999)
        assert (by_features(fresh.features).argmax(1) == group).float().mean() > 0.8
        assert (by_pixels(fresh.images, draw).argmax(1) == group).float().mean() > 0.8


def test_fooling_asks_to_be_taken_for_the_source() -> None:
    rules, *_ = game()
    for step in range(300):
        rules.learn(tuple(seen(level, seed=step) for level in (0.0, 3.0, 6.0, 9.0)))

    alike, foreign = (torch.stack(rules.fooling(seen(level, seed=7))) for level in (0.0, 6.0))

    assert SOURCE == 0
    assert (alike < 1.0).all()
    assert (foreign > 2.0).all()


def test_learning_leaves_the_corrected_images_alone_and_fooling_leaves_a_way_back_to_them() -> None:
    rules, *_ = game()
    groups = [seen(level) for level in (0.0, 1.0, 2.0, 3.0)]
    corrected = Seen(*(part.clone().requires_grad_() for part in groups[2]))

    rules.learn((groups[0], groups[1], corrected, groups[3]))
    assert corrected.images.grad is None

    sum(rules.fooling(corrected)).backward()
    assert corrected.images.grad is not None and corrected.images.grad.abs().sum() > 0
    assert corrected.features.grad is not None and corrected.features.grad.abs().sum() > 0
