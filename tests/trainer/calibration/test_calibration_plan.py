"""Batches of a calibration follow from the settings and a number, and never show what accuracy is measured on."""

import numpy as np
import pytest

from service.contract.input_spec import InputSpec
from trainer.calibration.plan import CALIBRATION_KINDS, Settings, kinds_of, pair_of
from trainer.datasets import Dataset
from trainer.interface import Normalisation, read_input_spec

SETTINGS = Settings(pairs=8, fewest=16, most=64, measured=50)


@pytest.fixture(scope="module")
def spec(tiny_onnx: bytes) -> InputSpec:
    return read_input_spec(tiny_onnx, Normalisation())


@pytest.fixture(scope="module")
def numbered() -> Dataset:
    """Each image has one value that is its own, so that it can be told which was posted."""
    values = np.linspace(0, 1, 300, dtype=np.float32)
    return Dataset(np.tile(values[:, None, None, None], (1, 1, 8, 8)), np.arange(300) % 4)


@pytest.mark.parametrize("first", [0, 4, 8])
def test_a_round_of_pairs_has_every_kind_once(first: int) -> None:
    kinds = [kind.name for number in range(first, first + 4) for kind in kinds_of(0, number)]

    assert sorted(kinds) == sorted(kind.name for kind in CALIBRATION_KINDS)


def test_rounds_and_seeds_pair_kinds_in_another_order() -> None:
    rounds = [[kinds_of(seed, number)[0].name for number in range(at, at + 4)] for seed in (0, 1) for at in (0, 4)]

    assert len({tuple(names) for names in rounds}) == 4


def test_no_image_that_accuracy_is_measured_on_is_posted(numbered: Dataset, spec: InputSpec) -> None:
    batches = [batch for number in range(4) for batch in pair_of(numbered, spec, SETTINGS, number)]
    (clean,) = [batch for batch in batches if batch.kind.name == "clean"]

    posted, judged = (set(images[:, 0, 0, 0].tolist()) for images in (clean.posted, clean.judged))
    assert posted.isdisjoint(judged)
    assert len(judged) == 50
    labels = dict(zip(numbered.images[:, 0, 0, 0].tolist(), numbered.labels, strict=True))
    assert [labels[value] for value in clean.judged[:, 0, 0, 0].tolist()] == clean.labels.tolist()


def test_sizes_stay_within_their_bounds_and_differ(numbered: Dataset, spec: InputSpec) -> None:
    batches = [batch for number in range(8) for batch in pair_of(numbered, spec, SETTINGS, number)]
    # Of skewed labels there may be fewer images than were asked for.
    sizes = [len(batch.posted) for batch in batches if batch.kind.name != "label-skew"]

    assert all(16 <= size <= 64 for size in sizes)
    assert len(set(sizes)) > 4


def test_a_pair_is_the_same_whatever_was_made_before(numbered: Dataset, spec: InputSpec) -> None:
    first, again, other = (pair_of(numbered, spec, SETTINGS, number) for number in (3, 3, 2))

    for batch, same in zip(first, again, strict=True):
        assert np.array_equal(batch.posted, same.posted)
        assert np.array_equal(batch.judged, same.judged)
        assert batch.seed == same.seed
    assert first[0].seed != other[0].seed


def test_a_class_with_one_image_makes_no_batch_too_small_to_divide(spec: InputSpec) -> None:
    labels = np.zeros(300, dtype=np.int64)
    labels[:200] = np.arange(200)
    source = Dataset(np.random.default_rng(0).random((300, 1, 8, 8), dtype=np.float32), labels)
    batches = [batch for number in range(12) for batch in pair_of(source, spec, SETTINGS, number)]

    assert min(len(batch.posted) for batch in batches if batch.kind.name == "label-skew") >= 8
