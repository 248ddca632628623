"""What every method must keep to, whoever writes it: see the docstring of `trainer.methods`."""

from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from service.contract.bundle import Bundle
from service.contract.job import UNKNOWN, Progress
from service.contract.manifest import ModelManifest
from tests.trainer.tiny_case import reserved_loss, shifted, source, tiny_task
from trainer.corrector import Corrector
from trainer.export import to_onnx
from trainer.frozen import FrozenModel, load_frozen
from trainer.plugins import known_methods, load_method
from trainer.reading import Reading
from trainer.task import Source, Task

STEPS = {
    "warp_steps": 5,
    "filter_steps": 10,
    "tone_steps": 5,
    "warming_steps": 5,
    "both_steps": 10,
    "racers": 2,
    "race_images": 64,
    "race_passes": 5,
    "rounds": 2,
    "passes": 10,
    "residual_steps": 5,
    "residual_rounds": 2,
    "resamples": 30,
}
GAME = {"steps": 25, "batch": 32, "recogniser_steps": 60, "width": 4, "blocks": 1, "resamples": 30}
SHORT: dict[str, dict[str, Any]] = {"homogenizer": STEPS, "calibrator": GAME}
"""Choices that make a fit take a tenth of a second; a method that is not here runs with its own."""

DRAWING: dict[str, dict[str, Any]] = {"homogenizer": {"racers": 0}}
"""Choices that make it draw: a deconvolution is fitted to all images at once, and draws nothing."""

every_method = pytest.mark.parametrize("name", known_methods())


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def frozen(tiny: Bundle[ModelManifest]) -> FrozenModel:
    return load_frozen(tiny.files["model.onnx"], taps=[tap.name for tap in tiny.manifest.taps])


@pytest.fixture
def make_task(tiny: Bundle[ModelManifest], frozen: FrozenModel) -> Callable[..., Task]:
    known = Source(torch.from_numpy(source(200, 3)), torch.full((200,), UNKNOWN))
    reading = Reading(frozen, tiny.manifest.input, scores=tiny.manifest.output.name)
    return partial(tiny_task, tiny, frozen=reading, source=known)


def fit(name: str, task: Task, **changed: Any) -> Corrector:
    method = load_method(name)
    return method.fit(task, replace(method.Config(), **{**SHORT.get(name, {}), **changed}))


@every_method
def test_it_defines_a_frozen_configuration_with_every_default_and_a_fit(name: str) -> None:
    method: ModuleType = load_method(name)

    assert is_dataclass(method.Config)
    assert callable(method.fit)
    config = method.Config()
    assert fields(config)
    # What a manifest can carry.
    assert all(isinstance(getattr(config, field.name), str | int | float | bool | None) for field in fields(config))
    with pytest.raises(AttributeError):
        setattr(config, fields(config)[0].name, None)


@every_method
def test_the_same_task_gives_the_same_bytes(
    name: str, make_task: Callable[..., Task], tiny: Bundle[ModelManifest]
) -> None:
    first, second = (to_onnx(fit(name, make_task(shifted(80, 5))), tiny.manifest, method=name) for _ in range(2))

    assert first == second


@every_method
def test_another_seed_gives_another_corrector(
    name: str, make_task: Callable[..., Task], tiny: Bundle[ModelManifest]
) -> None:
    # More images than one gradient step takes: else there is nothing to draw.
    tasks = [make_task(shifted(160, 5), seed=seed) for seed in (0, 1)]

    first, second = (to_onnx(fit(name, task, **DRAWING.get(name, {})), tiny.manifest, method=name) for task in tasks)

    assert first != second


@pytest.mark.parametrize("name", known_methods())
def test_nothing_is_drawn_but_from_the_tasks_seed(name: str, make_task: Callable[..., Task]) -> None:
    task = make_task(shifted(80, 5))
    torch.manual_seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()

    fit(name, task, **({"warp_steps": 1, "filter_steps": 1, "both_steps": 1} if name == "homogenizer" else {}))

    assert np.array_equal(before[1], np.random.get_state()[1])
    assert torch.equal(before[0], torch.get_rng_state())


@every_method
def test_the_frozen_model_is_left_as_it_was(
    name: str, make_task: Callable[..., Task], frozen: FrozenModel, tiny: Bundle[ModelManifest]
) -> None:
    probe = torch.from_numpy(source(4, 9))
    buffers, scores = {key: value.clone() for key, value in frozen.named_buffers()}, frozen(probe)

    fit(name, make_task(shifted(80, 5)))

    assert buffers.keys() == dict(frozen.named_buffers()).keys()
    assert all(torch.equal(buffers[key], value) for key, value in frozen.named_buffers())
    assert torch.equal(scores, frozen(probe))
    assert all(value.grad is None for value in frozen.buffers())


@every_method
def test_task_images_are_not_written_to(name: str, make_task: Callable[..., Task]) -> None:
    images = shifted(80, 5)

    fit(name, make_task(images))

    np.testing.assert_array_equal(images, shifted(80, 5))


@every_method
@pytest.mark.parametrize("seed", range(5))
def test_a_clean_batch_gets_no_correction(name: str, make_task: Callable[..., Task], seed: int) -> None:
    corrector = fit(name, make_task(source(100, 100 + seed), seed=seed))

    assert corrector.names() == ()


@every_method
def test_a_shift_is_more_than_half_undone_where_nothing_was_fitted(name: str, make_task: Callable[..., Task]) -> None:
    task, held_out = make_task(shifted(100, 5)), shifted(100, 6)

    corrector = fit(name, task)

    assert reserved_loss(task, corrector, held_out) < 0.5 * reserved_loss(task, Corrector(), held_out)


@every_method
def test_the_corrector_keeps_the_shape_and_its_values_finite(name: str, make_task: Callable[..., Task]) -> None:
    corrector = fit(name, make_task(shifted(80, 5)))

    with torch.no_grad():
        corrected = corrector(torch.from_numpy(shifted(7, 8)))

    assert corrected.shape == (7, 1, 8, 8)
    assert corrected.isfinite().all()


@every_method
def test_it_reads_nothing_but_what_the_task_declares(name: str, make_task: Callable[..., Task]) -> None:
    task, read = make_task(shifted(80, 5)), set[str]()

    class Watched(Task):
        def __getattribute__(self, attribute: str) -> object:
            read.add(attribute)
            return super().__getattribute__(attribute)

    fit(name, Watched(**{field.name: getattr(task, field.name) for field in fields(Task)}))

    assert "fit" in read
    assert {attribute for attribute in read if not attribute.startswith("__")} <= {field.name for field in fields(Task)}


@every_method
def test_progress_rises_to_one(name: str, make_task: Callable[..., Task]) -> None:
    told: list[Progress] = []

    fit(name, make_task(shifted(80, 5), report=told.append))

    shares = [progress.share for progress in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@every_method
def test_a_batch_of_the_fewest_images_is_fitted_all_the_same(name: str, make_task: Callable[..., Task]) -> None:
    corrector = fit(name, make_task(shifted(5, 5)))

    with torch.no_grad():
        assert corrector(torch.from_numpy(shifted(2, 8))).isfinite().all()


def test_a_larger_homogenizer_must_be_better_by_the_errors_asked_for(make_task: Callable[..., Task]) -> None:
    task = make_task(shifted(80, 5))

    # Without a clean batch's loss to compare with, no family ends the search.
    endless = replace(task, fingerprint=replace(task.fingerprint, reference=None))

    # Nothing is a million standard errors better; everything is better than a million worse, and the last stays.
    assert fit("homogenizer", task, errors=1e6).names() == ()
    assert fit("homogenizer", endless, errors=-1e6).names()[-1] == "residual"


def test_a_homogenizer_without_pixel_statistics_still_goes_the_right_way(make_task: Callable[..., Task]) -> None:
    task, held_out = make_task(shifted(80, 5)), shifted(100, 6)
    bare = replace(task, fingerprint=replace(task.fingerprint, kind="batchnorm", pixels=None, reference=None))

    # With every step: brightness and contrast must be walked to, where pixel statistics would have jumped there.
    corrector = fit("homogenizer", bare, **asdict(load_method("homogenizer").Config()))

    assert reserved_loss(task, corrector, held_out) < reserved_loss(task, Corrector(), held_out)
