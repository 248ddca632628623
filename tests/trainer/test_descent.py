"""Gradient steps bring down what they are told to, and candidates are ranked by the loss that numpy computes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from service.contract.distances import statistics_loss
from service.contract.job import Progress
from service.contract.norm_distances import norm_loss
from service.contract.statistics import pool
from tests.trainer.tiny_case import shifted, source, tiny_task
from trainer.corrector import Corrector
from trainer.descent import Descent
from trainer.measure import tap_moments
from trainer.stages.filter import Filter
from trainer.stages.residual import Residual
from trainer.stages.warp import Warp
from trainer.task import Task

RATES = {"filter": 0.01, "warp": 0.01, "residual": 0.005}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def task(tiny) -> Task:
    return tiny_task(tiny, shifted(120, 5))


def scaled(task: Task, gain: float, offset: float) -> Corrector:
    stage = Filter(task.frame)
    stage.scale(torch.tensor([gain]), torch.tensor([offset]))
    return Corrector([stage])


def parameters(corrector: Corrector) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in corrector.parameters()]


@torch.no_grad()
def criterion_of(task: Task, corrector: Corrector) -> float:
    assert task.labels is not None
    return float(cross_entropy(task.frozen.scores_and_taps(corrector(task.fit))[0], task.labels))


@torch.no_grad()
def labelled(task: Task, clean: np.ndarray) -> Task:
    """With the classes that the frozen model finds in the clean images."""
    scores, _ = task.frozen.scores_and_taps(torch.from_numpy(clean[: len(task.fit)]))
    # Their order above the batch's mean: the tiny model sees one class in nearly all of its images.
    return replace(task, labels=(scores - scores.mean(dim=0)).argmax(dim=1))


# Ranking.


@pytest.mark.parametrize("probe", [7, 96, 1000])
@pytest.mark.parametrize("scale_free", [True, False])
def test_candidates_are_ranked_by_numpys_loss_of_the_first_images(task: Task, probe: int, *, scale_free: bool) -> None:
    candidates = [scaled(task, gain, offset) for gain, offset in ((1.0, 0.0), (2.0, -0.6), (-1.0, 1.0), (1.5, -0.3))]
    distance, moments = (statistics_loss if scale_free else norm_loss), task.fingerprint.moments()

    ranked = Descent(task, batch=32, steps=1, scale_free=scale_free).ranked(candidates, probe)

    losses = {
        candidate: distance(
            pool(tap_moments(task.frozen, candidate, task.fit[:probe], task.fitted_taps)), moments, task.fitted_taps
        )
        for candidate in candidates
    }
    assert [entry.corrector for entry in ranked] == sorted(candidates, key=losses.__getitem__)
    # What undoes the shift exactly.
    assert ranked[0].corrector is candidates[1]
    for entry in ranked:
        assert entry.loss == pytest.approx(losses[entry.corrector], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", range(3))
def test_a_candidate_whose_loss_is_no_number_comes_last(task: Task, bad: float, place: int) -> None:
    candidates = [scaled(task, 2.0, -0.6), scaled(task, 1.0, 0.0)]
    candidates.insert(place, scaled(task, 1.0, bad))

    ranked = Descent(task, batch=32, steps=1).ranked(candidates, 32)

    assert [np.isfinite(entry.loss) for entry in ranked] == [True, True, False]
    assert (ranked[-1].corrector, ranked[-1].loss) == (candidates[place], float("inf"))


def test_of_no_candidate_there_is_no_ranking(task: Task) -> None:
    assert Descent(task, batch=32, steps=1).ranked([], 32) == []


# Steps.


@pytest.mark.parametrize("decay", [True, False])
def test_steps_lower_the_loss_of_the_fitted_taps(task: Task, *, decay: bool) -> None:
    descent, corrector = Descent(task, batch=64, steps=40), Corrector([Filter(task.frame)])
    (before,) = descent.ranked([corrector], 96)

    same = descent.run(corrector, 40, RATES, "filter", decay=decay)

    (after,) = descent.ranked([corrector], 96)
    assert same is corrector
    assert after.loss < 0.95 * before.loss


def test_a_stage_whose_rate_is_zero_stays_as_it_is(task: Task) -> None:
    warp, filter_ = Corrector([Warp(task.frame)]), Corrector([Filter(task.frame)])
    corrector = Corrector([*warp.stages, *filter_.stages])

    Descent(task, batch=64, steps=5).run(corrector, 5, {**RATES, "warp": 0.0}, "both")

    assert all(torch.equal(p, q) for p, q in _pairs(warp, Corrector([Warp(task.frame)])))
    assert not any(torch.equal(p, q) for p, q in _pairs(filter_, Corrector([Filter(task.frame)])))


def test_with_a_decay_the_last_steps_are_smaller(task: Task) -> None:
    lengths = {}
    for decay in (True, False):
        # With one batch for all, Adam's step is the rate times what the gradients' signs agree on.
        descent, corrector = Descent(task, batch=96, steps=20), scaled(task, 1.0, 0.0)
        descent.run(corrector, 20, RATES, "filter", decay=decay)
        lengths[decay] = sum(float(p.sub(q).abs().sum()) for p, q in _pairs(corrector, scaled(task, 1.0, 0.0)))

    # The mean of a cosine from 1 to 0 is a half.
    assert lengths[True] < 0.75 * lengths[False]


def _pairs(first: Corrector, second: Corrector) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return zip(parameters(first), parameters(second), strict=True)


@pytest.mark.parametrize(("seed", "batch", "is_same"), [(0, None, True), (1, None, False), (0, 16, False)])
def test_the_images_of_a_step_are_drawn_from_the_seed_and_as_many_as_asked_for(
    task: Task, seed: int, batch: int | None, *, is_same: bool
) -> None:
    first = Descent(task, batch=32, steps=5).run(scaled(task, 1.0, 0.0), 5, RATES, "filter")
    other = Descent(replace(task, seed=seed), batch=32, steps=5).run(
        scaled(task, 1.0, 0.0), 5, RATES, "filter", batch=batch
    )

    assert is_same == all(torch.equal(p, q) for p, q in _pairs(first, other))


def test_every_fifth_step_is_told_as_a_share_of_all(task: Task) -> None:
    told: list[Progress] = []
    descent = Descent(replace(task, report=told.append), batch=32, steps=20)

    descent.run(scaled(task, 1.0, 0.0), 12, RATES, "first")
    descent.run(scaled(task, 1.0, 0.0), 13, RATES, "second", decay=False)

    # Five more steps than were announced: the share stays at one.
    assert [progress.share for progress in told] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert [progress.step for progress in told] == ["fit first"] * 2 + ["fit second"] * 3
    assert all(progress.loss is not None and progress.loss > 0 for progress in told)


# The criterion.


def test_a_criterion_without_labels_is_refused(task: Task) -> None:
    with pytest.raises(ValueError, match="criterion_weight needs labels"):
        Descent(task, batch=32, steps=1, criterion_weight=0.1)


@pytest.mark.parametrize("seed", range(2))
def test_the_criterion_lowers_the_cross_entropy_with_the_labels(task: Task, seed: int) -> None:
    known = replace(labelled(task, source(120, 5)), seed=seed)
    found = {}
    for weight in (0.0, 1.0):
        torch.manual_seed(seed)
        descent = Descent(known, batch=96, steps=40, criterion_weight=weight)
        start = Corrector([Filter(task.frame), Residual(task.frame)])
        found[weight] = criterion_of(known, descent.run(start, 40, RATES, "both"))

    assert found[1.0] < found[0.0]
    assert found[1.0] < criterion_of(known, Corrector())


@pytest.mark.parametrize("batch", [10, 30, 48])
def test_no_image_has_its_next_turn_in_the_same_order(task: Task, batch: int) -> None:
    whole = len(task.fit) // batch
    corrector, seen = scaled(task, 1.0, 0.0), []
    corrector.register_forward_pre_hook(lambda _, images: seen.extend(images[0].flatten(1).sum(1).tolist()))

    Descent(task, batch=batch, steps=1).run(corrector, 2 * whole, RATES, "fit")

    turns = seen[: whole * batch], seen[whole * batch :]
    assert whole >= 1
    assert [len(set(turn)) for turn in turns] == [whole * batch] * 2
    assert turns[0] != turns[1]
