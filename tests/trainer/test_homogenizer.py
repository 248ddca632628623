"""The recipe of the default preset: which families win where, and when the residual network's rounds end."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from service.contract.job import Progress
from tests.trainer.tiny_case import reserved_loss, shifted, source, tiny_task
from trainer.corrector import Corrector
from trainer.methods.homogenizer import Config, fit
from trainer.shifts.distortion import Distortion
from trainer.task import Task

STEPS = Config(
    warp_steps=5,
    filter_steps=5,
    tone_steps=5,
    warming_steps=5,
    both_steps=10,
    racers=2,
    race_images=64,
    race_passes=5,
    rounds=1,
    passes=15,
    beyond=30.0,
    residual_steps=5,
    residual_rounds=4,
    patience=2,
    resamples=30,
)
EVERY_STEPS = 5
"""Progress is told so often; all steps above are multiples."""


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def make_task(tiny) -> Callable[..., Task]:
    return partial(tiny_task, tiny)


def distorted(count: int, seed: int, *, draw: int, kappa: float = 0.3) -> np.ndarray:
    """Source images under a fixed pattern, behind fixed filters."""
    return Distortion.draw((1, 8, 8), kappa, draw)(torch.from_numpy(source(count, seed))).numpy()


def labels_told(task: Task, config: Config) -> tuple[list[str], Corrector]:
    """What was fitted, a word for every EVERY_STEPS steps."""
    told: list[Progress] = []
    corrector = fit(replace(task, report=told.append), config)
    return [progress.step.removeprefix("fit ") for progress in told], corrector


@pytest.mark.parametrize("draw", range(3))
def test_a_pattern_behind_a_filter_is_deconvolved(make_task: Callable[..., Task], draw: int) -> None:
    task, held_out = make_task(distorted(160, 5, draw=draw)), distorted(300, 6, draw=draw)

    corrector = fit(task, STEPS)

    assert "deconvolution" in corrector.names()
    assert reserved_loss(task, corrector, held_out) < 0.02 * reserved_loss(task, Corrector(), held_out)
    with torch.no_grad():
        images = corrector(torch.from_numpy(held_out)).numpy()
    # Means of 128 images of the fit, 300 held out and 300 of the source differ by 0.05 and more; 64 pixels have them.
    assert np.abs(images.mean(axis=0) - 0.5).max() < 0.2 < np.abs(held_out.mean(axis=0) - 0.5).max()


def test_without_a_deconvolution_the_same_images_stay_further_away(make_task: Callable[..., Task]) -> None:
    task, held_out = make_task(distorted(160, 5, draw=0)), distorted(300, 6, draw=0)

    with_it, without = fit(task, STEPS), fit(task, replace(STEPS, racers=0))

    assert "deconvolution" not in without.names()
    assert reserved_loss(task, with_it, held_out) < 0.5 * reserved_loss(task, without, held_out)


@pytest.mark.parametrize("missing", ["cross-spectrum", "pixel statistics"])
def test_an_older_fingerprint_does_without_a_deconvolution(make_task: Callable[..., Task], missing: str) -> None:
    task = make_task(distorted(160, 5, draw=0))
    pixels = task.fingerprint.pixels
    assert pixels is not None
    known = replace(pixels, image_mean=None, cross_spectrum=None) if missing == "cross-spectrum" else None

    told, corrector = labels_told(replace(task, fingerprint=replace(task.fingerprint, pixels=known)), STEPS)

    assert "deconvolution" not in {*told, *corrector.names()}
    assert reserved_loss(task, corrector, distorted(300, 6, draw=0)) < reserved_loss(
        task, Corrector(), distorted(300, 6, draw=0)
    )


def test_families_of_one_stage_come_first_and_the_residual_network_last(make_task: Callable[..., Task]) -> None:
    task = make_task(shifted(160, 5))
    endless = replace(task, fingerprint=replace(task.fingerprint, reference=None))

    told, _ = labels_told(endless, replace(STEPS, beyond=1e9))

    order = list(dict.fromkeys(told))
    assert {"warp", "filter", "tone", "deconvolution"} == set(order[:4])
    assert order[4:] == ["warp+filter", "residual", "fitted"]


def test_the_family_with_the_most_promising_start_comes_first(make_task: Callable[..., Task]) -> None:
    # Less contrast and another brightness: a closed form undoes it, no stretch does.
    told, _ = labels_told(make_task(shifted(160, 5)), replace(STEPS, beyond=1e9))

    assert told[0] != "warp"


def test_a_family_that_starts_far_beyond_the_best_is_not_fitted(make_task: Callable[..., Task]) -> None:
    task = make_task(distorted(160, 5, draw=0))
    endless = replace(task, fingerprint=replace(task.fingerprint, reference=None))

    (told, _), (all_told, _) = (labels_told(endless, replace(STEPS, beyond=beyond)) for beyond in (1.0, 1e9))

    assert set(told) < set(all_told)
    assert "warp+filter" not in told


@pytest.mark.parametrize(("hopeless", "is_fitted"), [(1e9, True), (1.0, False)])
def test_a_deconvolution_is_fitted_unless_its_race_ends_far_behind_the_best(
    make_task: Callable[..., Task], hopeless: float, *, is_fitted: bool
) -> None:
    endless = make_task(shifted(160, 5))
    endless = replace(endless, fingerprint=replace(endless.fingerprint, reference=None))

    # Without a closed form a filter, which has one, undoes less contrast before the deconvolution has its turn.
    steps = replace(STEPS, closed_form=False, race_passes=1, filter_steps=60, residual_rounds=0)
    told, _ = labels_told(endless, replace(steps, beyond=1e9, hopeless=hopeless))

    assert ("deconvolution" in told) == is_fitted


def test_what_looks_clean_is_not_fitted(make_task: Callable[..., Task]) -> None:
    told, corrector = labels_told(make_task(source(160, 5)), STEPS)

    assert (told, corrector.names()) == (["fitted"], ())


@pytest.mark.parametrize(
    ("errors", "patience", "rounds", "expected"),
    [
        (1e6, 2, 4, 2),  # Nothing is that much better.
        (1e6, 1, 4, 1),
        (1e6, 9, 4, 4),
        (-1e6, 2, 4, 4),  # Everything is better than that much worse.
        (1e6, 2, 0, 0),
    ],
)
def test_residual_rounds_end_after_as_many_in_vain_as_it_has_patience(
    make_task: Callable[..., Task], errors: float, patience: int, rounds: int, expected: int
) -> None:
    task = make_task(shifted(160, 5))
    endless = replace(task, fingerprint=replace(task.fingerprint, reference=None))
    changed: dict[str, Any] = {"errors": errors, "patience": patience, "residual_rounds": rounds}

    told, corrector = labels_told(endless, replace(STEPS, **changed))

    assert told.count("residual") * EVERY_STEPS == expected * STEPS.residual_steps
    assert ("residual" in corrector.names()) == (errors < 0)


def test_where_a_deconvolution_is_the_closest_it_goes_on_before_a_residual_network(
    make_task: Callable[..., Task],
) -> None:
    task = make_task(distorted(160, 5, draw=1))
    endless = replace(task, fingerprint=replace(task.fingerprint, reference=None))
    once, more = (labels_told(endless, replace(STEPS, rounds=rounds, residual_rounds=0)) for rounds in (1, 3))

    assert more[0].count("deconvolution") > once[0].count("deconvolution")
    assert more[1].names() == ("deconvolution",)
    seen = torch.cat([task.fit, task.select]).numpy()
    assert reserved_loss(task, more[1], seen) < reserved_loss(task, once[1], seen)


def test_what_was_chosen_before_the_rounds_is_left_as_it_was(make_task: Callable[..., Task]) -> None:
    task = make_task(distorted(160, 5, draw=1))
    endless = replace(task, fingerprint=replace(task.fingerprint, reference=None))

    # Steps this large lead away: every round is in vain, and the rounds go on from a copy.
    (_, without), (told, in_vain) = (
        labels_told(endless, replace(STEPS, residual_rounds=rounds, residual_rate=1.0)) for rounds in (0, 4)
    )

    assert "residual" in told
    assert without.names() == in_vain.names() != ()
    for first, second in zip(without.parameters(), in_vain.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)
