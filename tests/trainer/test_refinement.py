"""Steps on all images lower the loss of all, go on where they stopped, and leave what they began with."""

from copy import deepcopy
from math import inf

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from tests.trainer.tiny_case import shifted, tiny_task
from trainer.corrector import Corrector
from trainer.descent import Descent
from trainer.refinement import Refinement
from trainer.stages.filter import Filter
from trainer.task import Task

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def task(tiny) -> Task:
    return tiny_task(tiny, shifted(120, 5))


def start(task: Task) -> Corrector:
    return Corrector([Filter(task.frame)])


def loss_of(descent: Descent, corrector: Corrector, images: int | None = None) -> float:
    return descent.backward_all(deepcopy(corrector), "loss", images)


def test_it_comes_as_far_down_as_scipys_quasi_newton_method(task: Task) -> None:
    descent, corrector = Descent(task, batch=32, steps=1), start(task)
    found = Refinement(descent, corrector, "filter").advance(150)

    def function(values: np.ndarray) -> tuple[float, np.ndarray]:
        moved = deepcopy(corrector)
        torch.nn.utils.vector_to_parameters(torch.from_numpy(values).float(), moved.parameters())
        loss = descent.backward_all(moved, "oracle")
        gradient = torch.cat([p.grad.flatten() for p in moved.parameters() if p.grad is not None])
        return loss, gradient.double().numpy()

    first = torch.nn.utils.parameters_to_vector(corrector.parameters()).detach().double().numpy()
    expected = minimize(function, first, jac=True, method="L-BFGS-B", options={"maxfun": 150})
    assert expected.fun < 0.05 * loss_of(descent, corrector)
    assert loss_of(descent, found) < 1.5 * expected.fun + 1e-5


def test_it_goes_on_where_it_stopped(task: Task) -> None:
    descent = Descent(task, batch=32, steps=1)
    refinement = Refinement(descent, start(task), "filter")
    losses = [loss_of(descent, refinement.advance(5)) for _ in range(4)]

    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_what_it_began_with_and_what_came_out_before_stay_as_they_were(task: Task) -> None:
    begun = start(task)
    refinement = Refinement(Descent(task, batch=32, steps=1), begun, "filter")
    first = refinement.advance(5)
    kept = [p.clone() for p in first.parameters()]

    refinement.advance(5)

    assert all(torch.equal(p, q) for p, q in zip(kept, first.parameters(), strict=True))
    assert all(torch.equal(p, q) for p, q in zip(begun.parameters(), start(task).parameters(), strict=True))


def test_only_the_first_images_count_where_a_number_is_given(task: Task) -> None:
    few, changed = (Descent(task, batch=32, steps=1) for _ in range(2))
    changed.task.fit[40:] = 7.0

    assert loss_of(few, start(task), 40) == loss_of(changed, start(task), 40)
    assert loss_of(few, start(task)) == loss_of(few, start(task), len(task.fit))


def test_a_fit_whose_loss_is_no_number_ends_and_is_ranked_last(task: Task) -> None:
    task.fit[0] = torch.nan

    descent = Descent(task, batch=32, steps=1)
    found = Refinement(descent, start(task), "filter").advance(5)

    assert descent.ranked([found], 40)[0].loss == inf
