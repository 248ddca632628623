"""Signals and accuracy behind correctors: the rows that a forecast is fitted to.

Signals are those that a gate will have, of the judge part of a posted batch alone; accuracy is that of other images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from service.contract.distances import statistics_loss
from service.contract.fingerprint import Fingerprint
from service.contract.job import Progress
from service.contract.manifest import ModelManifest
from service.contract.statistics import pool
from trainer.calibration.corrections import corrections_of
from trainer.calibration.plan import Batch, Settings
from trainer.corrector import Corrector
from trainer.forward import TapGraph
from trainer.frame import frame_of
from trainer.gate.forecast import signals_of
from trainer.gate.outcome import outcome_signals
from trainer.gate.scores import probabilities
from trainer.measure import Measured, chunks, measure
from trainer.reading import Reading
from trainer.split import split
from trainer.task import Task

IDENTITY = ""
"""Stands for the kind that no correction was fitted to."""


class State(BaseModel):
    """A batch behind a corrector.

    Attributes:
        kind: of the batch. fitted_to: kind of the batch that the corrector was fitted to, empty for no corrector.
        stages: of the corrector.
        images: that the signals are of.
        signals: by name, without labels. accuracy: share of other images that are classified as labelled.
    """

    # "constants": a signal of a corrector that went astray may be infinite, and must be read as it was written.
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    kind: str
    fitted_to: str
    stages: tuple[str, ...]
    images: int
    signals: dict[str, float]
    accuracy: float


@dataclass(frozen=True)
class Judge:
    """A frozen model, and what is known of its source."""

    frozen: Reading
    graph: TapGraph
    fingerprint: Fingerprint
    manifest: ModelManifest


def measure_pair(judge: Judge, batches: Sequence[Batch], settings: Settings) -> list[list[State]]:
    """For each batch its states: without correction, behind its own corrections, and behind those of the others."""
    fitted = [corrections_of(task_of(judge, batch), settings, np.random.default_rng(batch.seed)) for batch in batches]
    return [
        _states(
            judge,
            batch,
            [
                (corrector, other.kind.name)
                for other, correctors in zip(batches, fitted, strict=True)
                for corrector in correctors
            ],
        )
        for batch in batches
    ]


def _states(judge: Judge, batch: Batch, corrections: Sequence[tuple[Corrector, str]]) -> list[State]:
    """A batch without correction, and behind each of these, which were fitted to batches of the kinds named."""
    images = torch.from_numpy(batch.posted[split(len(batch.posted), batch.seed).judge])
    uncorrected = measure(judge.frozen, Corrector(), images)
    return [
        _state(judge, batch, corrector, fitted_to, uncorrected)
        for corrector, fitted_to in [(Corrector(), IDENTITY), *corrections]
    ]


def task_of(judge: Judge, batch: Batch) -> Task:
    """A fit to a batch, divided as a job divides it."""
    parts = split(len(batch.posted), batch.seed)
    return Task(
        scores=judge.manifest.output.scores,
        frozen=judge.frozen,
        fingerprint=judge.fingerprint,
        fitted_taps=judge.manifest.fitted_taps(),
        reserved_taps=judge.manifest.reserved_taps(),
        frame=frame_of(judge.manifest.input, batch.posted[parts.fit]),
        fit=torch.from_numpy(batch.posted[parts.fit]),
        select=torch.from_numpy(batch.posted[parts.select]),
        seed=batch.seed,
        report=_silent,
        tap_graph=judge.graph,
    )


def _silent(_progress: Progress) -> None:
    """A pair is too short to tell of its steps."""


def _state(judge: Judge, batch: Batch, corrector: Corrector, fitted_to: str, uncorrected: Measured) -> State:
    images = torch.from_numpy(batch.posted[split(len(batch.posted), batch.seed).judge])
    measured = measure(judge.frozen, corrector, images) if corrector.names() else uncorrected
    return State(
        kind=batch.kind.name,
        fitted_to=fitted_to,
        stages=corrector.names(),
        images=len(images),
        signals=_signals(judge, measured, uncorrected),
        accuracy=_accuracy(judge.frozen, corrector, batch),
    )


def _signals(judge: Judge, measured: Measured, uncorrected: Measured) -> dict[str, float]:
    reserved, reference = judge.manifest.reserved_taps(), judge.fingerprint.reference
    baseline, probability = (
        probabilities(seen.scores, judge.manifest.output.scores) for seen in (uncorrected, measured)
    )
    moments = pool({name: measured.moments[name] for name in reserved})
    return signals_of(
        outcome_signals(probability, judge.fingerprint.outcome, baseline=baseline),
        loss=statistics_loss(moments, judge.fingerprint.moments(), reserved),
        reference=reference.at(len(probability), reserved=True)[0] if reference else None,
    )


@torch.no_grad()
def _accuracy(frozen: Reading, corrector: Corrector, batch: Batch) -> float:
    parts = [frozen.scores_and_taps(corrector(chunk))[0].numpy() for chunk in chunks(torch.from_numpy(batch.judged))]
    return float((np.concatenate(parts).argmax(axis=1) == batch.labels).mean())
