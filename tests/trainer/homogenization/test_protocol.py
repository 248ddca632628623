"""No image plays two parts, and every net sees the same picture whatever it was normalised by."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from service.contract.input_spec import InputSpec
from tests.trainer.homogenization.conftest import PLAN, SIZES
from trainer.datasets import DatasetError
from trainer.studies.homogenization.nets import Net, UnfitModel
from trainer.studies.homogenization.protocol import PLANS, Space, load_material
from trainer.studies.homogenization.runs import default_task
from trainer.task import Source


def names(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_the_parts_are_disjoint_and_as_large_as_asked_for(bench) -> None:
    material = bench.material
    parts = [material.source.images, material.pool.images, material.validation.images]

    assert [len(part) for part in parts] == [60, 40, 30]
    assert len(set().union(*map(names, parts))) == 130


def test_what_is_fitted_is_never_validated(bench) -> None:
    for draw in range(5):
        drawn = bench.material.drawn(draw, 32)
        assert len(drawn.images) == len(drawn.labels) == 32
        assert not names(drawn.images) & names(bench.material.validation.images)


def test_draws_differ_and_validation_does_not(bench, data) -> None:
    first, second = (names(bench.material.drawn(draw, 20).images) for draw in (0, 1))
    again = load_material(PLAN, data, bench.net.manifest.input, SIZES)

    assert first != second
    assert torch.equal(again.validation.images, bench.material.validation.images)


def test_the_source_is_the_end_of_the_training_set(bench, data) -> None:
    with np.load(data) as archive:
        pixels = archive["x_train"][-60:, None]

    expected = (pixels / 255 - 0.4) / 0.25
    np.testing.assert_allclose(bench.material.source.images, expected, atol=1e-5)


def test_normalised_images_are_the_papers_whatever_the_nets_own_normalisation() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4), dtype=np.uint8)
    plan = PLANS["cifar10"]
    specs = [
        InputSpec(name="x", shape=(3, 4, 4), mean=plan.mean, std=plan.std),
        InputSpec(name="x", shape=(3, 4, 4), bounds=(-1, 1)),
        InputSpec(name="x", shape=(3, 4, 4), dtype="uint8", layout="NHWC", bounds=(0, 255)),
    ]

    for spec in specs:
        planes = torch.from_numpy(spec.to_planes(spec.from_pixels(pixels)))
        images = Space.of(plan, spec).from_planes(planes)

        by_hand = (pixels / 255 - np.reshape(plan.mean, (3, 1, 1))) / np.reshape(plan.std, (3, 1, 1))
        np.testing.assert_allclose(images, by_hand, atol=1e-5)
        torch.testing.assert_close(Space.of(plan, spec).to_planes(images), planes, atol=1e-3, rtol=1e-5)


def test_a_net_counts_hits_on_normalised_images_as_its_reading_scores_them(bench) -> None:
    validation = bench.material.validation
    with torch.no_grad():
        predicted = bench.reading.scores_and_taps(validation.images)[0].argmax(dim=1)

    assert bench.net.accuracy(validation.images, predicted) == 100
    right = float((predicted == validation.labels).float().mean())
    assert bench.net.accuracy(validation.images, validation.labels) == pytest.approx(100 * right)


def test_a_file_with_too_few_images_is_refused(bench, data) -> None:
    with pytest.raises(DatasetError, match="more than 90 are needed"):
        load_material(PLAN, data, bench.net.manifest.input, replace(SIZES, pool=90))


def test_a_net_of_other_channels_is_refused(tiny) -> None:
    with pytest.raises(UnfitModel, match="takes 1 channels, cifar10 has 3"):
        Net(tiny, PLANS["cifar10"])


def test_the_default_fits_all_but_the_part_that_chooses_each_image_with_its_label(bench) -> None:
    drawn = bench.material.drawn(3, 32)

    task = default_task(bench, Source(drawn.images, drawn.labels), 3, lambda _: None)

    planes = bench.net.space.to_planes(drawn.images).float()
    labels = {image.numpy().tobytes(): int(label) for image, label in zip(planes, drawn.labels, strict=True)}
    assert len(task.fit) + len(task.select) == len(labels) == 32
    assert names(task.fit) | names(task.select) == set(labels)
    assert task.labels is not None
    assert [labels[image.numpy().tobytes()] for image in task.fit] == task.labels.tolist()
    assert task.source is None
