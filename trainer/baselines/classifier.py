"""The classifier that the domain adaptation tutorial starts from: features and a head, so that features can be aligned.

Two convolutions 7x7 with max pooling, one hidden layer of 128, no normalisation; 504,842 parameters. First weights are
drawn as Keras draws them. Source: Lee, "Domain adaptation" (Industrial AI Lab, KAIST).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.baselines.telling import Tell

FEATURES = 128
CLASSES = 10


class Classifier(nn.Module):
    """Logits (n, 10) of images (n, 1, 28, 28) by `head(features(images))`."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 7, padding=3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 7, padding=3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, CLASSES)
        glorot(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        scores: Tensor = self.head(self.features(images))
        return scores


def glorot(net: nn.Module) -> None:
    """First weights as Keras draws them: uniform after Glorot, biases zero."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


@dataclass(frozen=True)
class Labelled:
    """Images (n, 1, 28, 28) from 0 to 1 and their labels (n,)."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        mixed: passes in bfloat16; a third of the time on a processor that has instructions for it.
    """

    epochs: int
    rate: float
    batch: int = 128
    mixed: bool = False

    def autocast(self) -> AbstractContextManager[object]:
        """What forward passes are to run under."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.mixed)


def fit_classifier(net: Classifier, data: Labelled, schedule: Schedule, seed: int, tell: Tell) -> None:
    """Plain training with Adam, in place: the tutorial's source classifier, and its fine-tuning."""
    optimiser = torch.optim.Adam(net.parameters(), lr=schedule.rate)
    steps = schedule.epochs * (len(data.images) // schedule.batch)
    rows = shuffled(len(data.images), schedule.batch, torch.Generator().manual_seed(seed))
    net.train()
    for step in range(steps):
        chosen = next(rows)
        with schedule.autocast():
            scores = net(ready(data.images[chosen]))
        loss = functional.cross_entropy(scores.float(), data.labels[chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        tell(step / steps)
    net.eval()


def shuffled(count: int, batch: int, draw: torch.Generator) -> Iterator[Tensor]:
    """Numbers of `batch` images for ever, every image once before any comes again."""
    if count < batch:
        raise ValueError(f"{count} images are fewer than the {batch} of a step")
    while True:
        for rows in torch.randperm(count, generator=draw).split(batch):  # type: ignore[no-untyped-call]
            if len(rows) == batch:
                yield rows


def ready(images: Tensor) -> Tensor:
    """Channels last: less than half the time on a processor."""
    return images.contiguous(memory_format=torch.channels_last)
