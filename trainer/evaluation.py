"""What a correction is worth, on labels that no fit ever sees: source accuracy, target accuracy before and after."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from service.contract.bundle import Bundle
from service.contract.digest import sha256_hex
from service.contract.input_spec import InputSpec
from service.contract.job import JobSpec
from service.contract.manifest import ModelManifest
from service.contract.verdict import Decision
from trainer.datasets import Dataset, DatasetError, load_dataset
from trainer.reading import rows_of
from trainer.run import Clock, fit
from trainer.runtime import make_session
from trainer.task import Report, source_of

CHUNK = 500


@dataclass(frozen=True)
class Trial:
    """One seed: one draw of unlabelled images, one fit, one verdict.

    Attributes:
        before, candidate: accuracy in percent on the measured images, uncorrected and through the fitted corrector.
        after: what would be served: the candidate if it is promoted, else no correction.
        source_candidate: accuracy on source images that are sent through the candidate; None where there are none.
        seconds: from the batch to the verdict.
    """

    seed: int
    before: float
    candidate: float
    after: float
    decision: Decision
    stages: tuple[str, ...]
    seconds: float
    source_candidate: float | None = None


@dataclass(frozen=True)
class Target:
    """Target images: those that batches are drawn from, and those that accuracy is measured on."""

    pool: Dataset
    measured: Dataset


def load_target(path: Path, spec: InputSpec, *, images: int, seed: int) -> Target:
    """Train and test part where the file has both; else `images` drawn by `seed`, and the rest.

    Raises:
        DatasetError: no labels, or too few images.
    """
    try:
        target = Target(*(load_dataset(path, spec, part=part) for part in ("train", "test")))
    except DatasetError:
        whole = load_dataset(path, spec)
        order = np.random.default_rng(seed).permutation(len(whole.images))
        target = Target(whole.take(order[:images]), whole.take(order[images:]))
    if target.measured.labels is None or len(target.measured.images) == 0:
        raise DatasetError(f"{path} leaves no labelled images to measure accuracy on")
    if len(target.pool.images) < images:
        raise DatasetError(f"{path} has {len(target.pool.images)} images to draw from, {images} were asked for")
    return target


class Classifier:
    """The frozen model in onnxruntime, with or without a corrector in front."""

    def __init__(self, model: Bundle[ModelManifest]) -> None:
        self._session = make_session(model.files["model.onnx"])
        self._spec = model.manifest.input
        self._output = model.manifest.output.name

    def accuracy(self, dataset: Dataset, corrector: bytes | None = None) -> float:
        """Percent of images classified as labelled."""
        assert dataset.labels is not None
        return 100.0 * float(np.mean(self.predictions(dataset.images, corrector) == dataset.labels))

    def predictions(self, images: NDArray[np.float32], corrector: bytes | None = None) -> NDArray[np.int64]:
        """Class numbers (n,) of planes (n, C, H, W)."""
        front = make_session(corrector) if corrector is not None else None
        rows = self._spec.batch or CHUNK
        parts = [self._predict(images[start : start + rows], front) for start in range(0, len(images), rows)]
        return np.concatenate(parts)

    def _predict(self, images: NDArray[np.float32], front: onnxruntime.InferenceSession | None) -> NDArray[np.int64]:
        count = len(images)
        x = self._spec.to_tensor(rows_of(images, self._spec.batch or count))
        if front is not None:
            x = front.run(None, {self._spec.name: x})[0]
        scores = self._session.run([self._output], {self._spec.name: x})[0]
        return np.asarray(np.argmax(scores.reshape(len(x), -1), axis=1)[:count], dtype=np.int64)


def trials(
    model: Bundle[ModelManifest],
    path: Path,
    *,
    images: int,
    seeds: range,
    method: str,
    threads: int,
    report: Report,
    source: Dataset | None = None,
    shown: Dataset | None = None,
) -> Iterator[Trial]:
    """One trial a seed; labels are used for measuring alone.

    Args:
        source: labelled source images, to measure on. shown: other ones, for a method that needs some.
    """
    classifier = Classifier(model)
    for seed in seeds:
        target = load_target(path, model.manifest.input, images=images, seed=seed)
        rows = np.random.default_rng(seed).permutation(len(target.pool.images))[:images]
        batch = target.pool.images[rows]
        job = JobSpec(
            id=f"{seed:032x}",
            model=model.manifest.name,
            domain="evaluation",
            method=method,
            seed=seed,
            frozen_sha256=model.manifest.frozen_sha256,
            batch_sha256=sha256_hex(batch.tobytes()),
            threads=threads,
        )
        started = time.perf_counter()
        verdict, bundle = fit(
            job, model, batch, None, report, Clock(), source=None if shown is None else source_of(shown)
        )
        seconds = time.perf_counter() - started
        before = classifier.accuracy(target.measured)
        candidate = classifier.accuracy(target.measured, bundle.files["corrector.onnx"])
        yield Trial(
            seed=seed,
            before=before,
            candidate=candidate,
            after=candidate if verdict.decision is Decision.PROMOTE else before,
            decision=verdict.decision,
            stages=bundle.manifest.stages,
            seconds=seconds,
            source_candidate=(None if source is None else classifier.accuracy(source, bundle.files["corrector.onnx"])),
        )
