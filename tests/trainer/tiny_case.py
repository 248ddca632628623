"""A task on the tiny model as a job of the service gives it: unlabelled images, of which the last fifth chooses."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from service.contract.bundle import Bundle
from service.contract.distances import statistics_loss
from service.contract.fingerprint import Fingerprint
from service.contract.manifest import ModelManifest
from service.contract.statistics import pool
from trainer.corrector import Corrector
from trainer.frame import frame_of
from trainer.frozen import load_frozen
from trainer.measure import tap_moments
from trainer.reading import Reading
from trainer.task import Task


def tiny_task(bundle: Bundle[ModelManifest], images: np.ndarray, **changed: Any) -> Task:
    manifest, cut = bundle.manifest, len(images) * 4 // 5
    frozen = load_frozen(bundle.files["model.onnx"], taps=[tap.name for tap in manifest.taps])
    task = Task(
        frozen=Reading(frozen, manifest.input, scores=manifest.output.name),
        fingerprint=Fingerprint.from_bytes(bundle.files["fingerprint.npz"]),
        fitted_taps=manifest.fitted_taps(),
        reserved_taps=manifest.reserved_taps(),
        frame=frame_of(manifest.input, images[:cut]),
        fit=torch.from_numpy(images[:cut]),
        select=torch.from_numpy(images[cut:]),
        seed=0,
        report=lambda progress: None,
    )
    return replace(task, **changed)


def source(count: int, seed: int) -> np.ndarray:
    """Images like those that the tiny model was registered with."""
    return np.random.default_rng(seed).random((count, 1, 8, 8), dtype=np.float32)


def shifted(count: int, seed: int) -> np.ndarray:
    """The same with less contrast and another brightness."""
    return (0.5 * source(count, seed) + 0.3).astype(np.float32)


def reserved_loss(task: Task, corrector: Corrector, images: np.ndarray) -> float:
    moments = tap_moments(task.frozen, corrector, torch.from_numpy(images), task.reserved_taps)
    return statistics_loss(pool(moments), task.fingerprint.moments(), task.reserved_taps)
