"""DANN: features from which a domain classifier cannot tell source from target, learned into a copy of the classifier.

Each step the domain classifier learns from both domains' features, then the copy lowers its own loss on the source,
raises the domain classifier's, and lowers the entropy of its answers to the target. The last term is in the tutorial's
code and not in its text.

Source: Ganin et al., "Domain-adversarial training of neural networks" (2016), with the tutorial's sizes and rates.
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.baselines.classifier import FEATURES, Classifier, Labelled, Schedule, glorot, ready, shuffled
from trainer.baselines.telling import Tell

HIDDEN = 64
SCHEDULE = Schedule(epochs=50, rate=1e-4)


@dataclass(frozen=True)
class Dann:
    """Every choice of the tutorial.

    Attributes:
        schedule: its rate is that of the features.
        head_rate, domain_rate: Adam's step sizes of the head and of the domain classifier.
        domain_weight, entropy_weight: of their terms in the copy's loss.
    """

    schedule: Schedule = SCHEDULE
    head_rate: float = 2e-4
    domain_rate: float = 3e-3
    domain_weight: float = 0.1
    entropy_weight: float = 0.1


def fit_dann(
    classifier: Classifier, source: Labelled, target: Tensor, config: Dann, seed: int, tell: Tell
) -> Classifier:
    """The changed copy; an epoch is as many steps as `target` has batches."""
    net, schedule = deepcopy(classifier).train(), config.schedule
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        domains = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2))
        glorot(domains)
    learners = _Learners(
        torch.optim.Adam(
            [
                {"params": net.features.parameters(), "lr": schedule.rate},
                {"params": net.head.parameters(), "lr": config.head_rate},
            ]
        ),
        torch.optim.Adam(domains.parameters(), lr=config.domain_rate),
    )
    draw = torch.Generator().manual_seed(seed)
    ours, theirs = (shuffled(len(part), schedule.batch, draw) for part in (source.images, target))
    truth = torch.tensor([0, 1]).repeat_interleave(schedule.batch)
    steps = schedule.epochs * (len(target) // schedule.batch)
    for step in range(steps):
        rows = next(ours)
        images = ready(torch.cat([source.images[rows], target[next(theirs)]]))
        with schedule.autocast():
            features = net.features(images)
            scores = net.head(features).float()
        learners.tell_apart(functional.cross_entropy(domains(features.detach().float()), truth))
        answers, unlabelled = scores.chunk(2)
        loss = (
            functional.cross_entropy(answers, source.labels[rows])
            - config.domain_weight * functional.cross_entropy(domains(features.float()), truth)
            + config.entropy_weight * _entropy(unlabelled)
        )
        learners.classify(loss)
        tell(step / steps)
    return net.eval()


@dataclass(frozen=True)
class _Learners:
    """The two optimisers."""

    net: torch.optim.Optimizer
    domains: torch.optim.Optimizer

    def tell_apart(self, loss: Tensor) -> None:
        _step(self.domains, loss)

    def classify(self, loss: Tensor) -> None:
        _step(self.net, loss)


def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    optimiser.step()


def _entropy(scores: Tensor) -> Tensor:
    """Mean entropy of the answers, in nats."""
    logs = functional.log_softmax(scores, dim=1)
    return -(logs.exp() * logs).sum(dim=1).mean()
