"""CycleGAN: source images in the target's style, with their labels, to fine-tune a copy of the classifier on.

Two generators translate between the domains, two discriminators tell what is translated from what is real; an image
that is translated there and back must come back, and one that is of the wanted domain already must stay. Least-squares
losses; weights 10 for the way back and 3 for staying.

Source: Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks" (2017), with the
tutorial's networks (64 wide, no residual blocks) and rates; borders are padded evenly where Keras pads one side more.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.baselines.classifier import Schedule, glorot, ready, shuffled
from trainer.baselines.telling import Tell

SCHEDULE, TUNING = Schedule(epochs=30, rate=2e-4), Schedule(epochs=20, rate=1e-5)
CYCLE_WEIGHT, IDENTITY_WEIGHT = 10.0, 3.0


@dataclass(frozen=True)
class CycleGan:
    """Every choice of the tutorial, and of the fine-tuning behind it.

    Attributes:
        width: channels of the first layer; the tutorial's is 64.
        tuning: of the classifier on the translated images.
    """

    schedule: Schedule = SCHEDULE
    width: int = 64
    tuning: Schedule = TUNING


class Translators(nn.Module):
    """Both generators; images (n, 1, H, W) from 0 to 1 in and out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_target, self.to_source = _generator(width), _generator(width)

    def stylised(self, images: Tensor) -> Tensor:
        """Source images as the target would have taken them."""
        return _translated(self.to_target, images)

    def restored(self, images: Tensor) -> Tensor:
        """Target images as the source would have taken them."""
        return _translated(self.to_source, images)


@torch.no_grad()
def _translated(generator: nn.Module, images: Tensor, rows: int = 500) -> Tensor:
    parts = images.split(rows)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return torch.cat([(generator(ready(2 * part - 1)) + 1) / 2 for part in parts])


def fit_cyclegan(source: Tensor, target: Tensor, config: CycleGan, seed: int, tell: Tell) -> Translators:
    """Both generators; an epoch is as many steps as the smaller set has batches."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        game, schedule = _Cycle(config), config.schedule
    draw = torch.Generator().manual_seed(seed)
    ours, theirs = (shuffled(len(part), schedule.batch, draw) for part in (source, target))
    steps = schedule.epochs * (min(len(source), len(target)) // schedule.batch)
    for step in range(steps):
        game.step(ready(2 * source[next(ours)] - 1), ready(2 * target[next(theirs)] - 1))
        tell(step / steps)
    return game.translators.eval()


class _Cycle:
    """The four networks in training, on images from -1 to 1."""

    def __init__(self, config: CycleGan) -> None:
        self._schedule = config.schedule
        self.translators = Translators(config.width).train()
        self._is_source, self._is_target = _discriminator(config.width), _discriminator(config.width)
        rate, betas = config.schedule.rate, (0.5, 0.999)
        judging = [*self._is_source.parameters(), *self._is_target.parameters()]
        self._translating = torch.optim.Adam(self.translators.parameters(), lr=rate, betas=betas)
        self._judging = torch.optim.Adam(judging, lr=rate, betas=betas)

    def step(self, source: Tensor, target: Tensor) -> None:
        """One step of all four."""
        to_target, to_source = self.translators.to_target, self.translators.to_source
        with self._schedule.autocast():
            as_target, as_source = to_target(source), to_source(target)
            back, forth = to_source(as_target), to_target(as_source)
            stayed = to_source(source), to_target(target)
            judged = self._is_target(as_target), self._is_source(as_source)
        loss = sum((_distance(scores, 1.0) for scores in judged), source.new_zeros(()))
        # Each generator has both ways back in its loss.
        loss = loss + CYCLE_WEIGHT * (_apart(source, back) + _apart(target, forth))
        loss = loss + IDENTITY_WEIGHT * (_apart(source, stayed[0]) + _apart(target, stayed[1]))
        self._translating.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._translating.step()
        self._judge(source, as_source.detach(), self._is_source, target, as_target.detach())

    def _judge(
        self, source: Tensor, as_source: Tensor, is_source: nn.Module, target: Tensor, as_target: Tensor
    ) -> None:
        with self._schedule.autocast():
            pairs = (
                (is_source(source), is_source(as_source)),
                (self._is_target(target), self._is_target(as_target)),
            )
        loss = sum((_distance(real, 1.0) + _distance(made, 0.0) for real, made in pairs), source.new_zeros(()))
        self._judging.zero_grad()
        (0.5 * loss).backward()  # type: ignore[no-untyped-call]
        self._judging.step()


def _distance(scores: Tensor, truth: float) -> Tensor:
    return (scores.float() - truth).square().mean()


def _apart(images: Tensor, others: Tensor) -> Tensor:
    return functional.l1_loss(others.float(), images)


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


def _generator(width: int) -> nn.Sequential:
    def layer(convolution: nn.Module, outer: int) -> list[nn.Module]:
        return [convolution, _norm(outer), nn.ReLU()]

    net = nn.Sequential(
        *layer(nn.Conv2d(1, width, 7, padding=3, bias=False), width),
        *layer(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False), 2 * width),
        *layer(nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1, bias=False), 4 * width),
        *layer(_raised(4 * width, 2 * width), 2 * width),
        *layer(_raised(2 * width, width), width),
        nn.Conv2d(width, 1, 7, padding=3),
        nn.Tanh(),
    )
    return _channels_last(net)


def _raised(inner: int, outer: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inner, outer, 3, stride=2, padding=1, output_padding=1, bias=False)


def _discriminator(width: int) -> nn.Sequential:
    net = nn.Sequential(
        nn.Conv2d(1, width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False),
        _norm(2 * width),
        nn.LeakyReLU(0.2),
        nn.ZeroPad2d((1, 2, 1, 2)),
        nn.Conv2d(2 * width, 4 * width, 4, bias=False),
        _norm(4 * width),
        nn.LeakyReLU(0.2),
        nn.ZeroPad2d((1, 2, 1, 2)),
        nn.Conv2d(4 * width, 1, 4),
    )
    return _channels_last(net)


def _channels_last(net: nn.Sequential) -> nn.Sequential:
    glorot(net)
    return net.to(memory_format=torch.channels_last)  # type: ignore[no-any-return,call-overload]
