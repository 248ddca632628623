"""What a contender has to work with, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from service.contract.job import Progress
from trainer.corrector import Corrector
from trainer.datasets import Dataset
from trainer.export import run_onnx, to_onnx
from trainer.forward import TapGraph
from trainer.frame import frame_of
from trainer.split import split
from trainer.studies.calibrator.domains import Domain, Sizes, drawn
from trainer.studies.calibrator.measures import Predict
from trainer.studies.calibrator.models import Net
from trainer.task import Report, Task, source_of

Correct = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Planes to corrected planes."""


@dataclass(frozen=True)
class Study:
    """What all contenders share.

    Attributes:
        net: the frozen model of the source; oracle: the same architecture trained on the target's labels.
        folder: what is trained on the way is kept in it.
        mixed: whether the baselines pass in bfloat16.
    """

    pair: str
    source: Domain
    target: Domain
    net: Net
    oracle: Net
    sizes: Sizes
    folder: Path
    mixed: bool = False

    @property
    def data(self) -> str:
        """The pair and the files it is read from, for the names of what is trained on them."""
        return f"{self.pair}-{self.source.digest[:8]}-{self.target.digest[:8]}"

    def steps(self, full: int) -> int:
        """As many steps or epochs as the study's effort leaves of them."""
        return max(1, round(self.sizes.effort * full))


@dataclass(frozen=True)
class Attempt:
    """What a contender came to.

    Attributes:
        before, after: answers of the classifier that it began with, and of what it ends with.
        changed: whether that classifier's own numbers were changed.
        parameters: of the corrector; 0 without one. model_parameters: of the classifier.
        images: target images that were used, without labels.
        correct: the corrector, where there is one.
    """

    before: Predict
    after: Predict
    changed: bool = False
    parameters: int = 0
    model_parameters: int = 0
    images: int = 0
    correct: Correct | None = field(default=None, repr=False)


Contender = Callable[[Study, int, Report], Attempt]
"""Given the study, a seed, and whom to tell."""


def silent(_progress: Progress) -> None:
    """Tell nobody."""


def task_of(net: Net, images: Dataset, source: Dataset, seed: int, report: Report) -> Task:
    """As a job of the service, but for the gate's part of the batch, which is fitted, too."""
    manifest, parts = net.bundle.manifest, split(len(images.images), seed)
    fit = np.concatenate([parts.fit, parts.judge])
    fitted = {name: net.fingerprint.moments()[name] for name in manifest.fitted_taps()}
    return Task(
        frozen=net.reading,
        fingerprint=net.fingerprint,
        fitted_taps=manifest.fitted_taps(),
        reserved_taps=manifest.reserved_taps(),
        frame=frame_of(manifest.input, images.images[fit]),
        fit=torch.from_numpy(images.images[fit]),
        select=torch.from_numpy(images.images[parts.select]),
        seed=seed,
        report=report,
        scores=manifest.output.scores,
        source=source_of(source),
        tap_graph=TapGraph(net.bundle.files["model.onnx"], manifest.input, fitted, threads=torch.get_num_threads()),
    )


def source_shown(study: Study, net: Net) -> Dataset:
    """Source images that a fit may see: of those that the model's training held back."""
    return drawn(net.source, study.sizes.source, 0)


def in_front(net: Net, corrector: Corrector, *, images: int, before: Predict | None = None) -> Attempt:
    """A corrector in front of a model, both in onnxruntime as they are served."""
    content = to_onnx(corrector, net.bundle.manifest, method="calibrator")
    return Attempt(
        before=before or net.predict(),
        after=net.predict(content),
        parameters=corrector.size(),
        model_parameters=size_of(net),
        images=images,
        correct=partial(_corrected, content, net),
    )


def _corrected(content: bytes, net: Net, images: NDArray[np.float32]) -> NDArray[np.float32]:
    parts = [run_onnx(content, images[start : start + 500], net.spec) for start in range(0, len(images), 500)]
    return np.concatenate(parts)


def size_of(net: Net) -> int:
    """How many floating numbers the frozen model holds: weights, and the statistics of its normalisations."""
    return sum(value.numel() for value in net.reading.frozen.buffers())
