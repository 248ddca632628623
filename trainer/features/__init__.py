"""Feature maps: what the statistics of the homogenization paper's loss are taken of, one file each.

A file, whose name is the map's, defines

    build(task: Task, options: Options) -> FeatureMap

and nothing else needs to know of it. Source statistics come from the fingerprint where it has them; a map that needs
source images takes them from `task.source`, which a job in the service does not have, and refuses without them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from service.contract.fingerprint import TapStatistics
from service.contract.norm_distances import ClassMoments
from service.contract.statistics import ChannelMoments, ImageMoments
from trainer.measure import chunks
from trainer.reading import Reading
from trainer.task import NoSource, Source, Task

Named = dict[str, Tensor]
INPUT = "input"
"""Name under which the images themselves stand among the features."""


@dataclass(frozen=True)
class Options:
    """What the paper and its authors' code say differently, or leave open.

    Attributes:
        projections: how many random projections.
        with_input: whether the images themselves are among the features of all taps; a random network always has them.
        with_first: whether the first tap is.
    """

    projections: int = 512
    with_input: bool = False
    with_first: bool = False


@dataclass(frozen=True)
class SourceMoments:
    """Source statistics of one feature tensor: of all images, and of those of each class where they are known."""

    pooled: ChannelMoments
    classes: ClassMoments


class FeatureMap(ABC):
    """Images in, features out; and what the source's statistics of these features are."""

    def __init__(self, frozen: Reading) -> None:
        self._frozen = frozen

    @abstractmethod
    def __call__(self, images: Tensor) -> Named:
        """Features (n, C, ...) of images (n, C, H, W), by name."""

    @abstractmethod
    def source(self) -> Mapping[str, SourceMoments]:
        """Source statistics of every feature. Raises NoSource."""

    def with_scores(self, images: Tensor) -> tuple[Tensor, Named]:
        """The frozen model's class scores beside the features."""
        return self._frozen.scores_and_taps(images)[0], self(images)


def known_features() -> tuple[str, ...]:
    """Names of all feature maps."""
    return tuple(sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py")))


def load_features(name: str) -> Callable[[Task, Options], FeatureMap]:
    """The `build` of a feature map.

    Raises:
        ValueError: no file of that name; the message lists the known ones.
    """
    if name not in known_features():
        raise ValueError(f"there is no feature map '{name}'; known: {', '.join(known_features())}")
    build: Callable[[Task, Options], FeatureMap] = import_module(f"{__name__}.{name}").build
    return build


def of_images(task: Task) -> Source:
    """The task's source images. Raises NoSource."""
    if task.source is None:
        raise NoSource("this feature map needs source images, and the task has none; all_taps and penultimate do not")
    return task.source


@torch.no_grad()
def measured(compute: Callable[[Tensor], Named], source: Source, classes: int) -> dict[str, SourceMoments]:
    """Statistics of whatever `compute` makes of the source images."""
    parts = [
        {name: ImageMoments.of(value.cpu().numpy()) for name, value in compute(chunk).items()}
        for chunk in chunks(source.images)
    ]
    moments = {name: ImageMoments.concatenate([part[name] for part in parts]) for name in parts[0]}
    labels = source.labels.cpu().numpy()
    return {name: SourceMoments(found.pooled(), _by_class(found, labels, classes)) for name, found in moments.items()}


def _by_class(moments: ImageMoments, labels: np.ndarray, classes: int) -> ClassMoments:
    rows = [np.flatnonzero(labels == index) for index in range(classes)]
    return [moments.take(chosen).pooled() if len(chosen) else None for chosen in rows]


def of_tap(statistics: TapStatistics) -> SourceMoments:
    """What a fingerprint says of a tap; without class moments there are no classes."""
    pairs = zip(statistics.class_first, statistics.class_second, strict=True)
    classes = [None if np.isnan(first).any() else _moments(first, second) for first, second in pairs]
    return SourceMoments(statistics.moments(), classes)


def _moments(first: np.ndarray, second: np.ndarray) -> ChannelMoments:
    return ChannelMoments(first, np.maximum(second - np.square(first), 0.0))
