"""Section "registration": whether `foreoptic register` with the same options would accept the file, by trying."""

from dataclasses import dataclass

import numpy as np

from foreoptic.doctor.question import Question
from service.contract.input_spec import InputSpec
from trainer.datasets import Dataset, load_dataset
from trainer.registration import FEWEST_IMAGES, register


@dataclass(frozen=True)
class Registrable:
    """What registration would write down."""

    fingerprint: str
    classes: int
    kind: str
    fitted: tuple[str, ...]
    reserved: tuple[str, ...]


def load_source(question: Question, spec: InputSpec) -> Dataset | None:
    """A sample of the source images, where there are any. Raises DatasetError."""
    if question.source is None:
        return None
    return _sample(load_dataset(question.source, spec, part=question.part))


def _sample(dataset: Dataset) -> Dataset:
    """As many images as registration wants at least, evenly spread, the smallest and the largest label among them."""
    rows = np.linspace(0, len(dataset.images) - 1, min(len(dataset.images), FEWEST_IMAGES)).astype(np.int64)
    if dataset.labels is not None:
        rows = np.union1d(rows, [dataset.labels.argmin(), dataset.labels.argmax()])
    return dataset.take(rows)


def try_registration(question: Question, spec: InputSpec, source: Dataset | None) -> Registrable:
    """Register, and keep nothing of it. Raises RegistrationError or FrozenError."""
    manifest = register(
        question.content,
        name="unregistered",
        spec=spec,
        source=source,
        labels=None,
        card=None,
        scores=question.stated.scores,
    ).manifest
    return Registrable(
        fingerprint=manifest.fingerprint,
        classes=manifest.output.classes,
        kind=manifest.output.scores,
        fitted=manifest.fitted_taps(),
        reserved=manifest.reserved_taps(),
    )
