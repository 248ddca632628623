"""A corrector is taken when it is better by more than chance where nothing was fitted, and not otherwise."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from scipy.special import softmax

from service.contract.bundle import Bundle
from service.contract.manifest import ModelManifest
from tests.trainer.tiny_case import reserved_loss, shifted, source, tiny_task
from trainer.choice import Choice
from trainer.corrector import Corrector
from trainer.stages.filter import Filter
from trainer.task import Task

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def task(tiny) -> Task:
    return tiny_task(tiny, shifted(200, 5))


def scaled(gain: float, offset: float, task: Task) -> Corrector:
    stage = Filter(task.frame)
    stage.scale(torch.tensor([gain]), torch.tensor([offset]))
    return Corrector([stage])


def exact(task: Task) -> Corrector:
    """What undoes `shifted`."""
    return scaled(2.0, -0.6, task)


def halfway(task: Task) -> Corrector:
    return scaled(1.5, -0.3, task)


def choice(task: Task, errors: float = 2.0) -> Choice:
    return Choice(task, errors=errors, resamples=50)


def loss_of(task: Task, corrector: Corrector) -> float:
    return reserved_loss(task, corrector, task.select.numpy())


def test_it_begins_with_no_correction(task: Task) -> None:
    assert choice(task).best.names() == ()


def test_what_is_better_for_sure_is_taken_and_the_worse_after_it_is_not(task: Task) -> None:
    found, candidates = choice(task), [halfway(task), exact(task), halfway(task), Corrector()]

    taken = [found.consider(candidate) for candidate in candidates]

    assert taken == [True, True, False, False]
    assert found.best is candidates[1]


@pytest.mark.parametrize("errors", [0.0, 2.0])
def test_the_same_again_is_no_better(task: Task, errors: float) -> None:
    found = choice(task, errors)

    assert not found.consider(Corrector())
    assert found.consider(exact(task))
    assert not found.consider(exact(task))


def test_better_by_how_much_is_counted_in_standard_errors_of_paired_samples(task: Task) -> None:
    # Resampled here image by image, through the frozen model itself.
    draw, select = np.random.default_rng(3), task.select.numpy()
    rows = [draw.integers(0, len(select), len(select)) for _ in range(200)]
    gains = [
        reserved_loss(task, Corrector(), select[row]) - reserved_loss(task, halfway(task), select[row]) for row in rows
    ]
    errors = (loss_of(task, Corrector()) - loss_of(task, halfway(task))) / np.std(gains)

    # 50 samples know a deviation to a tenth, 200 to a twentieth.
    assert choice(task, 0.6 * errors).consider(halfway(task))
    assert not choice(task, 1.6 * errors).consider(halfway(task))


def test_a_negative_number_of_errors_takes_what_is_worse(task: Task) -> None:
    found, worse = choice(task, -1e6), scaled(0.5, 0.0, task)

    assert loss_of(task, worse) > loss_of(task, Corrector())
    assert found.consider(worse)
    assert found.best is worse


def test_a_candidate_whose_loss_is_no_number_is_never_taken(task: Task) -> None:
    for errors in (2.0, -1e6):
        found = choice(task, errors)

        assert not found.consider(scaled(1.0, float("nan"), task))
        assert found.best.names() == ()


@pytest.mark.parametrize("place", range(3))
def test_the_closest_has_the_lowest_loss_wherever_it_stands_and_whatever_stands_beside_it(
    task: Task, place: int
) -> None:
    candidates = [scaled(1.0, float("nan"), task), halfway(task)]
    candidates.insert(place, exact(task))

    assert choice(task).closest(candidates) is candidates[place]


def test_of_equals_the_first_is_the_closest(task: Task) -> None:
    first, second = exact(task), exact(task)

    assert choice(task).closest([first, second]) is first


def test_the_distance_is_the_loss_of_all_images_and_infinite_where_that_is_no_number(task: Task) -> None:
    seen = np.concatenate([task.fit.numpy(), task.select.numpy()])

    assert choice(task).distance(halfway(task)) == pytest.approx(reserved_loss(task, halfway(task), seen), rel=1e-5)
    assert choice(task).distance(scaled(1.0, float("nan"), task)) == inf


def settled(task: Task, candidates: list[Corrector], **how: float) -> tuple[Corrector, Corrector]:
    """The best by its statistics, and what is settled for."""
    found = choice(task)
    for candidate in candidates:
        found.consider(candidate)
    before = found.best
    found.settle(**how)
    return before, found.best


def nuclear(tiny: Bundle[ModelManifest], task: Task, corrector: Corrector) -> float:
    """Nuclear norm of the class probabilities of all images, by onnxruntime, scipy and singular values."""
    with torch.no_grad():
        images = corrector(torch.cat([task.fit, task.select])).numpy()
    session = InferenceSession(tiny.files["model.onnx"], providers=["CPUExecutionProvider"])
    (scores,) = session.run([tiny.manifest.output.name], {tiny.manifest.input.name: images})
    assert isinstance(scores, np.ndarray)
    chances = softmax(scores.reshape(len(images), -1), axis=1)
    return float(np.linalg.norm(chances, "nuc") / np.sqrt(len(chances) * min(chances.shape)))


def test_where_statistics_leave_it_open_the_surest_answers_are_settled_for(tiny, task: Task) -> None:
    # Twice the source's contrast: further from it, and its answers are surer.
    candidates = [exact(task), scaled(4.0, -1.7, task), halfway(task)]
    sureness = [nuclear(tiny, task, candidate) for candidate in candidates]
    assert np.argmax(sureness) == 1

    closest, open_to_all = settled(task, candidates, near=1e9, surer=0.0)
    _, only_near = settled(task, candidates, near=1.0, surer=0.0)
    _, not_by_that_much = settled(task, candidates, near=1e9, surer=sureness[1] - sureness[0] + 0.001)
    _, by_that_much = settled(task, candidates, near=1e9, surer=sureness[1] - sureness[0] - 0.001)

    assert closest is candidates[0]
    assert open_to_all is candidates[1]
    assert only_near is closest
    assert not_by_that_much is closest
    assert by_that_much is candidates[1]


@pytest.mark.parametrize("surer", [0.0, -1.0])
def test_what_is_no_number_is_never_settled_for(task: Task, surer: float) -> None:
    broken = scaled(1.0, float("nan"), task)

    _, found = settled(task, [broken, exact(task)], near=1e9, surer=surer)

    assert found is not broken


def test_it_is_done_when_the_best_is_as_close_as_a_clean_batch(tiny, task: Task) -> None:
    found = choice(task)

    assert not found.is_done
    found.consider(halfway(task))
    assert not found.is_done
    found.consider(exact(task))
    assert found.is_done
    assert choice(tiny_task(tiny, source(200, 6))).is_done


@pytest.mark.parametrize(("enough", "is_done"), [(0.001, False), (1.0, True)])
def test_how_close_is_enough_is_told_in_losses_of_a_clean_batch(task: Task, enough: float, *, is_done: bool) -> None:
    found = Choice(task, errors=2.0, resamples=50, enough=enough)

    found.consider(exact(task))

    assert found.is_done == is_done


def test_without_a_clean_batchs_loss_it_is_never_done(tiny) -> None:
    task = tiny_task(tiny, source(200, 6))

    assert not choice(replace(task, fingerprint=replace(task.fingerprint, reference=None))).is_done


@pytest.mark.parametrize(
    ("gains", "taken", "worth"),
    [
        ((1.5, 1.99), True, True),
        ((1.5, 1.501), True, False),  # Closer, by less than a tenth of the way.
        ((1.5, 1.2), False, False),
        ((1.5, 1.5), False, False),
    ],
)
def test_more_steps_are_kept_if_closer_and_gone_on_with_if_closer_by_a_tenth(
    task: Task, gains: tuple[float, float], *, taken: bool, worth: bool
) -> None:
    found = choice(task)
    first, further = (scaled(gain, 0.5 - 0.55 * gain, task) for gain in gains)
    assert found.consider(first)

    assert found.go_on(further) == worth

    assert found.best is (further if taken else first)


def test_more_steps_are_judged_on_the_fitted_images_too(task: Task) -> None:
    task = replace(task, select=task.select[:6])
    seen = torch.cat([task.fit, task.select]).numpy()
    candidates = [scaled(2.0, offset, task) for offset in np.linspace(-0.75, -0.45, 31)]
    # Six images prefer another one than all do, by chance.
    first = min(candidates, key=lambda candidate: loss_of(task, candidate))
    further = min(candidates, key=lambda candidate: reserved_loss(task, candidate, seen))
    assert first is not further
    found = choice(task)

    assert found.consider(first)
    assert found.go_on(further)

    assert found.best is further


def test_more_steps_that_lead_the_select_part_away_are_refused(task: Task) -> None:
    # Left twice as dark, it wants twice the gain; all the others, which are more, do not.
    task = replace(task, select=task.select * 0.5)
    found, first, further = choice(task), scaled(3.5, -0.6, task), exact(task)
    seen = torch.cat([task.fit, task.select]).numpy()
    assert reserved_loss(task, further, seen) < reserved_loss(task, first, seen)

    assert found.consider(first)
    assert not found.go_on(further)

    assert found.best is first


def test_it_is_not_done_while_the_fitted_images_are_far(tiny) -> None:
    task = tiny_task(tiny, shifted(200, 5))
    clean = replace(task, select=torch.from_numpy(source(40, 6)))

    assert choice(clean).looks_clean
    assert not choice(clean).is_done
