"""A task of the paper's kind on the tiny model: labelled, distorted images and labelled source images."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from service.contract.bundle import Bundle
from service.contract.fingerprint import Fingerprint
from service.contract.manifest import ModelManifest
from trainer.features.random_network import randomised
from trainer.frame import Frame
from trainer.reading import Reading, read_model
from trainer.task import Source, Task


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 1, 8, 8), dtype=np.float32)


def read(bundle: Bundle[ModelManifest], content: bytes) -> Reading:
    manifest = bundle.manifest
    taps = [tap.name for tap in manifest.taps]
    return read_model(content, manifest.input, taps=taps, scores=manifest.output.name, example=images(3, 0))


def labels_of(frozen: Reading, x: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return frozen.scores_and_taps(torch.from_numpy(x))[0].argmax(dim=1)


def paper_task(bundle: Bundle[ModelManifest], **changed: Any) -> Task:
    content = bundle.files["model.onnx"]
    frozen, clean, source = read(bundle, content), images(64, 3), images(200, 4)
    target = torch.from_numpy(0.5 * clean + 0.3)
    task = Task(
        frozen=frozen,
        fingerprint=Fingerprint.from_bytes(bundle.files["fingerprint.npz"]),
        fitted_taps=frozen.taps,
        reserved_taps=(),
        frame=Frame((1, 8, 8), None, (1.0,)),
        fit=target,
        select=target[:0],
        seed=0,
        report=lambda progress: None,
        labels=labels_of(frozen, clean),
        source=Source(torch.from_numpy(source), labels_of(frozen, source)),
        random_network=read(bundle, randomised(content, source, seed=0)),
    )
    return replace(task, **changed)


MakeTask = Callable[..., Task]
