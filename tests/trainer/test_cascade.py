"""The preset `cascade`: what costs little comes first, it stops where nothing is left, and its work is bounded."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from service.contract.bundle import Bundle
from service.contract.job import Progress
from service.contract.manifest import ModelManifest
from tests.trainer.tiny_case import reserved_loss, shifted, source, tiny_task
from trainer.cascade import FORWARD_SHARE, Cascade, fit_cascade
from trainer.corrector import Corrector
from trainer.forward import TapGraph
from trainer.shifts.distortion import Distortion
from trainer.task import Task

STEPS = Cascade(racers=2, passes=10, tone_steps=10, residual_steps=20, resamples=30)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def make_task(tiny: Bundle[ModelManifest]) -> Callable[..., Task]:
    return partial(graphed_task, tiny)


def graphed_task(bundle: Bundle[ModelManifest], images: np.ndarray) -> Task:
    task = tiny_task(bundle, images)
    fitted = {name: task.fingerprint.moments()[name] for name in task.fitted_taps}
    graph = TapGraph(bundle.files["model.onnx"], bundle.manifest.input, fitted, threads=1)
    return replace(task, tap_graph=graph)


def distorted(count: int, seed: int) -> np.ndarray:
    """Source images under a fixed pattern, behind fixed filters."""
    return Distortion.draw((1, 8, 8), 0.3, 0)(torch.from_numpy(source(count, seed))).numpy()


def told_by(task: Task, config: Cascade) -> tuple[list[str], Corrector]:
    """What was fitted by gradient, in order, after "forward" where anything was fitted without; and what came out."""
    told: list[Progress] = []
    corrector = fit_cascade(replace(task, report=told.append), config)
    shares = [progress.share for progress in told]
    assert shares == sorted(shares)
    steps = ["forward" if progress.share <= FORWARD_SHARE else progress.step for progress in told]
    return list(dict.fromkeys(step.removeprefix("fit ") for step in steps)), corrector


def test_contrast_and_brightness_are_undone_without_a_gradient(make_task: Callable[..., Task]) -> None:
    task, held_out = make_task(shifted(160, 5)), shifted(300, 6)

    told, corrector = told_by(task, STEPS)

    assert told == ["forward", "fitted"]
    assert corrector.names() == ("filter",)
    assert reserved_loss(task, corrector, held_out) < 0.02 * reserved_loss(task, Corrector(), held_out)


def test_a_pattern_behind_a_filter_is_deconvolved(make_task: Callable[..., Task]) -> None:
    task, held_out = make_task(distorted(160, 5)), distorted(300, 6)

    told, corrector = told_by(task, STEPS)

    assert told[:2] == ["forward", "deconvolution"]
    assert "deconvolution" in corrector.names()
    assert reserved_loss(task, corrector, held_out) < 0.05 * reserved_loss(task, Corrector(), held_out)


def test_gradients_add_to_what_the_forward_search_finds(make_task: Callable[..., Task]) -> None:
    task, held_out = make_task(distorted(160, 5)), distorted(300, 6)

    forward, whole = (fit_cascade(task, replace(STEPS, beyond=beyond)) for beyond in (0.0, 2.0))

    assert set(forward.names()) <= {"warp", "filter"}
    assert reserved_loss(task, whole, held_out) < 0.5 * reserved_loss(task, forward, held_out)


def test_without_a_tap_graph_gradients_do_it_alone(make_task: Callable[..., Task]) -> None:
    task, held_out = replace(make_task(distorted(160, 5)), tap_graph=None), distorted(300, 6)

    told, corrector = told_by(task, STEPS)

    assert "forward" not in told
    assert reserved_loss(task, corrector, held_out) < 0.1 * reserved_loss(task, Corrector(), held_out)


def test_a_residual_network_is_left_to_what_is_far_from_clean(make_task: Callable[..., Task]) -> None:
    task = make_task(distorted(160, 5))

    near, far = (told_by(task, replace(STEPS, beyond=0.0, far=far))[0] for far in (1e9, 1.0))

    assert near == ["forward", "fitted"]
    assert far == ["forward", "residual", "fitted"]


def test_what_looks_clean_is_not_fitted(make_task: Callable[..., Task]) -> None:
    told, corrector = told_by(make_task(source(160, 5)), STEPS)

    assert told == ["fitted"]
    assert corrector.names() == ()


def test_the_same_task_gives_the_same_corrector(make_task: Callable[..., Task]) -> None:
    task, probe = make_task(distorted(160, 5)), torch.from_numpy(distorted(20, 7))

    first, second = (fit_cascade(task, STEPS) for _ in range(2))

    with torch.no_grad():
        assert torch.equal(first(probe), second(probe))


def test_the_random_generator_is_left_as_it_was(make_task: Callable[..., Task]) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()

    fit_cascade(make_task(distorted(80, 5)), STEPS)

    assert torch.equal(torch.get_rng_state(), before)
