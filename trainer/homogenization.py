"""The fit of the homogenization paper, as its authors' code does it: the preset `paper` of the method `homogenizer`.

The paper's network is fitted to unlabelled or labelled target images by Adam with one step size, for a number of
epochs; nothing chooses and nothing stops it early. The frozen model is in inference mode, the corrector's
normalisations use the mini-batch while it is fitted and what they have averaged afterwards. Where paper and code
disagree there is a field in `Paper`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from service.contract.job import Progress
from trainer.corrector import Corrector
from trainer.features import FeatureMap, Options, load_features
from trainer.losses.norms import ClassNormLoss, NormLoss
from trainer.losses.smoothness import roughness
from trainer.stages.reconstruction import DEPTH, WIDTH, Reconstruction
from trainer.task import NoSource, Task


@dataclass(frozen=True)
class Paper:
    """Every choice of the paper.

    Attributes:
        features: name of a feature map, see `trainer.features`; None compares no statistics (CRITERION).
        class_conditional: compare statistics class by class (CC); needs labels.
        stats_weight, criterion_weight: r_stats and r_crit; 0 for r_crit is the unsupervised setting.
        smoothness_weight: of a term that the code has (0.001) and the paper does not name.
        projections, with_input, with_first: see `trainer.features.Options`.
        width, depth: of the reconstruction network.
        rate: Adam's step size, never changed.
        epochs, batch: passes over the images, and images a step.
        settled: whether the corrector's normalisations are measured again, on all images, when its weights are found.
            The code keeps running averages, which lag behind weights that move by 0.1 a step.
    """

    features: str | None = "all_taps"
    class_conditional: bool = False
    stats_weight: float = 10.0
    criterion_weight: float = 0.0
    smoothness_weight: float = 0.0
    projections: int = 512
    with_input: bool = False
    with_first: bool = False
    width: int = WIDTH
    depth: int = DEPTH
    rate: float = 0.1
    epochs: int = 100
    batch: int = 128
    settled: bool = False


Loss = Callable[[Tensor, Tensor | None], Tensor]
"""Of corrected images and their labels."""


def fit_paper(task: Task, config: Paper) -> Corrector:
    """The paper's network, fitted to `task.fit`; `task.select` is not looked at.

    Raises:
        NoSource: labels, source images or class moments are needed and the task has none.
        ValueError: there is nothing to fit to.
    """
    # Stages draw their first weights from torch's own generator: seeded here, and left as it was found.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        stage = Reconstruction(task.frame, width=config.width, depth=config.depth)
    # Channels last: three quarters of the time on a processor, where these convolutions are too narrow for it.
    stage = stage.to(task.fit.device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    _descend(task, config, stage, _loss(task, config))
    if config.settled:
        _settle(task.fit, stage)
    task.report(Progress(share=1.0, step="fitted"))
    return Corrector([stage.eval()])


@torch.no_grad()
def _settle(images: Tensor, stage: Reconstruction) -> None:
    for norm in stage.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
    stage(images)


def _descend(task: Task, config: Paper, stage: Reconstruction, loss_of: Loss) -> None:
    optimiser = torch.optim.Adam(stage.parameters(), lr=config.rate)
    draw = torch.Generator().manual_seed(task.seed)
    for epoch in range(config.epochs):
        for rows in torch.randperm(len(task.fit), generator=draw).split(config.batch):  # type: ignore[no-untyped-call]
            loss = loss_of(stage(task.fit[rows]), None if task.labels is None else task.labels[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimiser.step()
        task.report(Progress(share=epoch / config.epochs, step=f"epoch {epoch + 1}", loss=loss.item()))


def _loss(task: Task, config: Paper) -> Loss:
    needs_labels = config.class_conditional or config.criterion_weight > 0
    if needs_labels and task.labels is None:
        raise NoSource(
            "the criterion and class-conditional statistics need labels of the images, and the task has none"
        )
    if config.features is None and not config.criterion_weight:
        raise ValueError("nothing to fit to: neither a feature map nor a criterion_weight above 0")
    features = _features(task, config)
    compare = None if features is None else _comparison(features, task, config)

    def loss(images: Tensor, labels: Tensor | None) -> Tensor:
        total = images.new_zeros(())
        if config.smoothness_weight:
            total = total + config.smoothness_weight * roughness(images)
        scores, found = _forward(task, features, images, with_scores=config.criterion_weight > 0)
        if compare is not None:
            total = total + config.stats_weight * compare(found, labels)
        if scores is not None and labels is not None:
            total = total + config.criterion_weight * functional.cross_entropy(scores, labels)
        return total

    return loss


def _features(task: Task, config: Paper) -> FeatureMap | None:
    options = Options(config.projections, config.with_input, config.with_first)
    return None if config.features is None else load_features(config.features)(task, options)


def _forward(
    task: Task, features: FeatureMap | None, images: Tensor, *, with_scores: bool
) -> tuple[Tensor | None, dict[str, Tensor]]:
    if features is None:
        return task.frozen.scores_and_taps(images)[0], {}
    return features.with_scores(images) if with_scores else (None, features(images))


def _comparison(
    features: FeatureMap, task: Task, config: Paper
) -> Callable[[dict[str, Tensor], Tensor | None], Tensor]:
    source, device = features.source(), task.fit.device
    if not config.class_conditional:
        pooled = NormLoss({name: moments.pooled for name, moments in source.items()}, device)
        return lambda found, _labels: pooled(found)
    if not all(moments.classes for moments in source.values()):
        raise NoSource(
            "class-conditional statistics need a fingerprint with class moments; register with source images"
        )
    by_class = ClassNormLoss({name: moments.classes for name, moments in source.items()}, device)

    def compare(found: dict[str, Tensor], labels: Tensor | None) -> Tensor:
        assert labels is not None
        return by_class(found, labels)

    return compare
