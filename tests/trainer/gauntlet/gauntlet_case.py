"""Records and a material that tests of the gauntlet share."""

from typing import Any

import numpy as np

from service.contract.bundle import Bundle
from service.contract.manifest import ModelManifest
from service.contract.verdict import Decision, Forecast, Reason, ReasonCode, Verdict
from trainer.datasets import Dataset
from trainer.evaluation import Classifier
from trainer.shifts.kind import Labelled
from trainer.shifts.registry import KINDS
from trainer.studies.gauntlet.materials import Material
from trainer.studies.gauntlet.records import Record


def verdict(decision: str, forecast: float | None = None) -> Verdict:
    expected = None if forecast is None else Forecast(gain=forecast, low=forecast - 5, high=forecast + 5)
    reason = Reason(code=ReasonCode.LOSS_FALLS, text="as it must")
    return Verdict(decision=Decision(decision), reasons=(reason,), numbers={"infinite": np.inf}, forecast=expected)


def record(gain: float | None = 5.0, decision: str = "promote", *, kind: str = "blur", **changed: Any) -> Record:
    """A record of a job whose candidate brings `gain` points to 80 %."""
    forecast = changed.pop("forecast", None)
    facts: dict[str, Any] = {
        "verdict": None if decision == "failed" else verdict(decision, forecast),
        "stages": () if gain is None else ("filter",),
        "candidate": None if gain is None else 80.0 + gain,
        "seconds": 2.0,
        "material": "mnist",
        "title": "MNIST test",
        "kind": kind,
        "use": KINDS[kind].use,
        "answer": KINDS[kind].answer,
        "seed": 0,
        "size": 512,
        "images": 512,
        "settings": {"sigma": 1.0},
        "identity": 80.0,
        "unshifted": 99.0,
        "program": "today",
    }
    return Record(**{**facts, **changed})


def tiny_material(model: Bundle[ModelManifest], *, least_contrast: float = 1.0) -> Material:
    """Images of the tiny model's source, of one contrast or of many, labelled by itself: so it is always right."""
    draw = np.random.default_rng(5)
    images = draw.random((300, 1, 8, 8)) * draw.uniform(least_contrast, 1, (300, 1, 1, 1))
    images = images.astype(np.float32)
    classifier = Classifier(model)
    labels = np.array(
        [next(y for y in range(4) if classifier.accuracy(Dataset(x[None], np.array([y]))) == 100) for x in images]
    )
    return Material("mnist", "MNIST test", model, Labelled(images, labels), is_source=True, digest="0" * 64)
