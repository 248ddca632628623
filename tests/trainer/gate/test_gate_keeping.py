"""What a corrector does to source images that no fit has seen is counted; and whether it promised to keep them."""

import numpy as np
import pytest
import torch

from service.contract.bundle import Bundle
from service.contract.manifest import ModelManifest
from tests.trainer.tiny_case import source, tiny_task
from trainer.corrector import Corrector
from trainer.gate.keeping import Keeping, keeping_of
from trainer.measure import class_scores
from trainer.recognition import Recogniser
from trainer.stages.residual import Residual
from trainer.task import Task

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def task(tiny: Bundle[ModelManifest]) -> Task:
    return tiny_task(tiny, source(40, 1))


def brightening(task: Task) -> Residual:
    stage = Residual(task.frame)
    with torch.no_grad():
        stage.body[-1].bias.fill_(3.0)
    return stage


def opinion(task: Task, value: float) -> Recogniser:
    """Takes every image for the target's above 0, for the source's below."""
    recogniser = Recogniser(task.frame)
    with torch.no_grad():
        recogniser.last.weight.zero_()
        recogniser.last.bias.fill_(value)
    return recogniser


def test_the_share_is_that_of_equal_answers(task: Task) -> None:
    images, corrector = torch.from_numpy(source(60, 2)), Corrector([brightening(task)])
    classes = [class_scores(task.frozen, front, images).argmax(axis=1) for front in (Corrector(), corrector)]

    found = keeping_of(task.frozen, corrector, images)

    assert found == Keeping(60, float(np.mean(classes[0] == classes[1])), is_promised=False)
    assert found.agreement < 0.99


@pytest.mark.parametrize(("value", "kept"), [(-1.0, True), (1.0, False)])
def test_a_recogniser_promises_and_keeps_or_not(task: Task, value: float, kept: bool) -> None:
    corrector = Corrector([brightening(task)], opinion(task, value))

    found = keeping_of(task.frozen, corrector, torch.from_numpy(source(60, 2)))

    assert found.is_promised
    assert (found.agreement == 1.0) is kept
