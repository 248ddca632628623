"""RP: projections of the whole image on random directions of unit length; no network at all."""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.features import FeatureMap, Named, Options, SourceMoments, measured, of_images
from trainer.task import Task

NAME = "projections"


def build(task: Task, options: Options) -> FeatureMap:
    """`options.projections` directions, drawn with the task's seed. Raises NoSource."""
    return Projections(task, options.projections)


class Projections(FeatureMap):
    """Each direction is one channel; the variance is over the images."""

    def __init__(self, task: Task, count: int) -> None:
        super().__init__(task.frozen)
        self._task, self._source = task, of_images(task)
        pixels = task.fit[0].numel()
        directions = torch.randn(pixels, count, generator=torch.Generator().manual_seed(task.seed))
        self.directions = (directions / directions.norm(dim=0)).to(task.fit.device)

    def __call__(self, images: Tensor) -> Named:
        """See `FeatureMap`."""
        return {NAME: images.flatten(1) @ self.directions}

    def source(self) -> Mapping[str, SourceMoments]:
        """Of the source images."""
        return measured(self, self._source, len(self._task.fingerprint.class_counts))
