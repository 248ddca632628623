"""The calibrator: wins the target, keeps the source bit for bit, and refuses without source images."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from service.contract.bundle import Bundle
from service.contract.job import UNKNOWN
from service.contract.manifest import ModelManifest
from tests.trainer.tiny_case import reserved_loss, shifted, source, tiny_task
from trainer.adversarial.paper import Paper, play
from trainer.corrector import Corrector
from trainer.measure import class_scores
from trainer.methods import calibrator
from trainer.stages.generator import Generator
from trainer.task import NoSource, Source, Task

QUICK = calibrator.Config(steps=25, batch=32, width=4, blocks=1, recogniser_steps=80, resamples=30)
PAPER = Paper(width=2, blocks=1, epochs=2, batch=16)

pytestmark = pytest.mark.usefixtures("one_thread")


def known(count: int = 200) -> Source:
    return Source(torch.from_numpy(source(count, 3)), torch.full((count,), UNKNOWN))


@pytest.fixture
def task(tiny: Bundle[ModelManifest]) -> Task:
    return tiny_task(tiny, shifted(100, 5), source=known())


def corrected(corrector: Corrector, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return corrector(torch.from_numpy(images)).numpy()


def test_source_images_are_left_bit_for_bit_and_the_shift_is_undone(task: Task) -> None:
    found = calibrator.fit(task, replace(QUICK, recogniser_steps=400))

    assert found.names()[0] == "recognition"
    clean, target = source(200, 8), shifted(200, 9)
    untouched = (corrected(found, clean) == clean).all(axis=(1, 2, 3))
    assert untouched.mean() > 0.9
    assert reserved_loss(task, found, target) < 0.5 * reserved_loss(task, Corrector(), target)


def test_without_recognition_source_images_are_moved_too(task: Task) -> None:
    found = calibrator.fit(task, replace(QUICK, recognise=False))

    assert "recognition" not in found.names()
    assert np.abs(corrected(found, source(20, 8)) - source(20, 8)).max() > 0.1


def test_without_source_images_it_is_refused_in_both_presets(task: Task) -> None:
    for config in (QUICK, PAPER):
        with pytest.raises(NoSource, match="--keep-source"):
            calibrator.fit(replace(task, source=None), config)


def test_the_generator_stays_within_its_bound(task: Task) -> None:
    stage = Generator(task.frame, bound=0.125)
    with torch.no_grad():
        stage.last.bias.fill_(100.0)

    change = corrected(Corrector([stage]), shifted(20, 5)) - shifted(20, 5)

    np.testing.assert_allclose(change, 0.125, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_the_game_changes_what_is_fitted(task: Task, seed: int) -> None:
    task = replace(task, seed=seed)
    with_game = calibrator.fit(task, replace(QUICK, recognise=False))
    without = calibrator.fit(task, replace(QUICK, recognise=False, feature_weight=0.0, pixel_weight=0.0))

    assert np.abs(corrected(with_game, shifted(20, 5)) - corrected(without, shifted(20, 5))).max() > 1e-4


def test_images_that_give_no_numbers_end_without_a_generator(task: Task) -> None:
    def broken(images: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        scores, taps = read(images)
        return scores * torch.nan, taps

    read = task.frozen.scores_and_taps
    task.frozen.scores_and_taps = broken

    assert "generator" not in calibrator.fit(task, QUICK).names()


# The paper's.


def test_the_papers_corrector_only_brightens_and_stays_within_its_bound_and_the_range(task: Task) -> None:
    found = calibrator.fit(task, replace(PAPER, bound=0.2))

    images = shifted(50, 5)
    change = corrected(found, images) - images
    assert found.names() == ("translator",)
    assert change.min() >= 0.0
    assert 0.1 < change.max() <= 0.2 + 1e-6
    assert corrected(found, images).max() <= 1.0


def test_the_same_task_gives_the_same_paper(task: Task) -> None:
    first, second = (corrected(calibrator.fit(task, PAPER), shifted(10, 5)) for _ in range(2))

    np.testing.assert_array_equal(first, second)


def test_a_classifier_that_follows_ends_up_another_and_the_frozen_one_stays(task: Task) -> None:
    images = torch.from_numpy(shifted(50, 6))
    before = class_scores(task.frozen, Corrector(), images)

    followed, held = (play(task, replace(PAPER, follow=follow)).classifier for follow in (True, False))

    np.testing.assert_array_equal(class_scores(task.frozen, Corrector(), images), before)
    np.testing.assert_array_equal(class_scores(held, Corrector(), images), before)
    assert np.abs(class_scores(followed, Corrector(), images) - before).max() > 0.01
