"""Other class frequencies behind a first corrector: the fit is made anew, once, against a source with these."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from service.contract.job import Progress
from tests.trainer.tiny_case import source, tiny_task
from trainer.corrector import Corrector
from trainer.datasets import Dataset
from trainer.interface import Normalisation, read_input_spec
from trainer.registration import register
from trainer.run import _fitted
from trainer.stages.filter import Filter
from trainer.task import Task


def predicted(content: bytes, images: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(content).run(None, {"image": images})[0].argmax(axis=1)


@pytest.mark.parametrize(("shares", "fits"), [({0: 20, 3: 300}, 1), ({0: 160, 3: 100}, 2)], ids=["as before", "moved"])
def test_a_fit_is_made_anew_where_classes_moved_and_its_progress_does_not_fall(
    shares: dict[int, int], fits: int, tiny_onnx: bytes
) -> None:
    known, pool = source(2000, 3), source(4000, 5)
    data = Dataset(known, predicted(tiny_onnx, known))
    spec = read_input_spec(tiny_onnx, Normalisation())
    model = register(tiny_onnx, name="tiny", spec=spec, source=data, labels=None, card=None)
    classes = predicted(tiny_onnx, pool)
    rows = np.concatenate([np.flatnonzero(classes == index)[:count] for index, count in shares.items()])
    told: list[Progress] = []
    task = replace(tiny_task(model, pool[np.random.default_rng(0).permutation(rows)]), report=told.append)
    seen: list[Task] = []

    def fit_to(given: Task) -> Corrector:
        seen.append(given)
        for share in (0.1, 0.9):
            given.report(Progress(share=share, step="fit"))
        return Corrector([Filter(given.frame)])

    _, reweighting = _fitted(task, fit_to, model.manifest)

    assert len(seen) == fits
    assert seen[0].fingerprint is task.fingerprint
    assert (reweighting is None) == (fits == 1)
    assert reweighting is None or seen[1].fingerprint is reweighting.fingerprint
    assert [progress.share for progress in told] == sorted(progress.share for progress in told)
