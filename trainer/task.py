"""What a method is given, and nothing more: a method that needs something new adds a field here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from service.contract.fingerprint import Fingerprint
from service.contract.job import UNKNOWN, Progress
from trainer.datasets import Dataset
from trainer.forward import TapGraph
from trainer.frame import Frame
from trainer.reading import Reading

Report = Callable[[Progress], None]


class NoSource(Exception):
    """A fit needs source images, labels or class moments, and the task has none."""


@dataclass(frozen=True)
class Source:
    """Source images: of a study, or those that `register --keep-source` put beside the frozen model.

    Attributes:
        images: planes (n, C, H, W) float32. labels: (n,) int64, UNKNOWN where an image has none.
    """

    images: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class Task:
    """One fit.

    Attributes:
        frozen: the frozen model, differentiable, with all taps.
        fingerprint: of the source.
        fitted_taps, reserved_taps: names; a method fits the first and chooses by the second.
        frame: what stages must know of the input.
        fit, select: planes (n, C, H, W) float32, the parts of the batch that a method may see.
        seed: of every draw that the method makes.
        scores: what the frozen model's class scores are.
        report: told how far the fit has come, share from 0 to 1.
        source: source images; None where none were kept beside the frozen model.
        labels: (n,) int64 classes of `fit`, where somebody knows them. Like the next, of studies alone: None in a job
            of the service.
        random_network: the frozen model's architecture with random weights.
        tap_graph: the frozen model up to the fitted taps in onnxruntime; None where only gradients are wanted.
    """

    frozen: Reading
    fingerprint: Fingerprint
    fitted_taps: tuple[str, ...]
    reserved_taps: tuple[str, ...]
    frame: Frame
    fit: torch.Tensor
    select: torch.Tensor
    seed: int
    report: Report
    scores: Literal["logits", "probabilities"] = "logits"
    source: Source | None = None
    labels: torch.Tensor | None = None
    random_network: Reading | None = None
    tap_graph: TapGraph | None = None


def source_of(dataset: Dataset) -> Source:
    """A data set as source images; labels may be missing."""
    labels = np.full(len(dataset.images), UNKNOWN) if dataset.labels is None else dataset.labels
    return Source(torch.from_numpy(dataset.images), torch.from_numpy(labels))


def source_images(task: Task) -> torch.Tensor:
    """Planes of the source, (n, C, H, W). Raises NoSource."""
    if task.source is None:
        raise NoSource(
            "this method needs source images, and none are kept beside the frozen model; register it again with "
            "--source and --keep-source"
        )
    return task.source.images
