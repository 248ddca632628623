"""Deep CORAL: features with the same covariance in source and target, learned into a copy of the classifier.

loss = cross-entropy(source) + weight * ||C_s - C_t||^2 / (4 d^2), C the covariances of d features over a batch.

Source: Sun & Saenko, "Deep CORAL: correlation alignment for deep domain adaptation" (2016), with the tutorial's rates.
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trainer.baselines.classifier import Classifier, Labelled, Schedule, ready, shuffled
from trainer.baselines.telling import Tell

SCHEDULE = Schedule(epochs=100, rate=1e-4)


@dataclass(frozen=True)
class DeepCoral:
    """Every choice of the tutorial; the schedule's rate is that of the features, `head_rate` the head's."""

    schedule: Schedule = SCHEDULE
    head_rate: float = 2e-4
    weight: float = 500.0


def fit_deep_coral(
    classifier: Classifier, source: Labelled, target: Tensor, config: DeepCoral, seed: int, tell: Tell
) -> Classifier:
    """The changed copy; an epoch is as many steps as `target` has batches."""
    net, schedule = deepcopy(classifier).train(), config.schedule
    optimiser = torch.optim.Adam(
        [
            {"params": net.features.parameters(), "lr": schedule.rate},
            {"params": net.head.parameters(), "lr": config.head_rate},
        ]
    )
    draw = torch.Generator().manual_seed(seed)
    ours, theirs = (shuffled(len(part), schedule.batch, draw) for part in (source.images, target))
    steps = schedule.epochs * (len(target) // schedule.batch)
    for step in range(steps):
        rows = next(ours)
        images = ready(torch.cat([source.images[rows], target[next(theirs)]]))
        with schedule.autocast():
            features = net.features(images)
            scores = net.head(features[: schedule.batch])
        loss = functional.cross_entropy(scores.float(), source.labels[rows])
        loss = loss + config.weight * coral(*features.float().chunk(2))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        tell(step / steps)
    return net.eval()


def coral(source: Tensor, target: Tensor) -> Tensor:
    """||C_s - C_t||^2 / (4 d^2) of features (n, d) each; a scalar."""
    difference = torch.cov(source.T) - torch.cov(target.T)
    return difference.square().sum() / (4 * source.shape[1] ** 2)
