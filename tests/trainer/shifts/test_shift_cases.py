"""Every kind: deterministic, float32, within its range; what is judged on is shifted alike and never spoilt."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service.contract.input_spec import InputSpec
from trainer.shifts.cases import from_units, make_case, to_units
from trainer.shifts.kind import Answer, Kind, Labelled, Use
from trainer.shifts.registry import CALIBRATION, KINDS, UNPOISONED

ROOT = Path(__file__).parents[3]
SHAPES = {"grey": (1, 14, 14), "colour": (3, 16, 12)}
CLIPPED = [kind for kind in KINDS.values() if "distort" not in kind.words and "outliers" not in kind.name]
EVERY = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def labelled(count: int, seed: int, shape: tuple[int, int, int] = SHAPES["grey"]) -> Labelled:
    draw = np.random.default_rng(seed)
    return Labelled(draw.random((count, *shape), dtype=np.float32), draw.integers(0, 4, count))


@pytest.fixture(scope="module")
def pool() -> Labelled:
    return labelled(400, 0)


@pytest.fixture(scope="module")
def judged() -> Labelled:
    return labelled(30, 1)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@EVERY
def test_a_kind_makes_images_of_the_models_shape_and_its_seed_is_all_that_decides(kind: Kind, shape) -> None:
    parts = labelled(200, 0, shape), labelled(20, 1, shape)

    first, again, other = (make_case(kind, *parts, count=64, seed=seed) for seed in (5, 5, 6))

    for case in (first, other):
        for part in (case.batch, case.judged):
            assert part.images.dtype == np.float32
            assert np.isfinite(part.images).all()
            assert part.images.shape == (len(part.labels), *shape)
        assert len(case.judged.labels) == 20
        assert 1 <= len(case.batch.labels) <= 64
    np.testing.assert_array_equal(first.batch.images, again.batch.images)
    np.testing.assert_array_equal(first.judged.images, again.judged.images)
    assert first.settings == again.settings
    assert not np.array_equal(first.batch.images[:4], other.batch.images[:4])


@EVERY
def test_no_kind_changes_what_it_is_given(kind: Kind, pool: Labelled, judged: Labelled) -> None:
    before = [part.images.tobytes() + part.labels.tobytes() for part in (pool, judged)]

    make_case(kind, pool, judged, count=40, seed=0)

    assert before == [part.images.tobytes() + part.labels.tobytes() for part in (pool, judged)]


@pytest.mark.parametrize("kind", CLIPPED, ids=lambda kind: kind.name)
def test_what_comes_from_a_camera_is_within_its_range(kind: Kind, pool: Labelled, judged: Labelled) -> None:
    case = make_case(kind, pool, judged, count=40, seed=1)

    values = np.concatenate([case.batch.images.ravel(), case.judged.images.ravel()])
    assert 0 <= values.min()
    assert values.max() <= 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if not kind.shift], ids=lambda kind: kind.name)
def test_what_is_picked_or_spoilt_is_judged_on_untouched_images_of_all_classes(kind: Kind, pool, judged) -> None:
    case = make_case(kind, pool, judged, count=40, seed=2)

    np.testing.assert_array_equal(case.judged.images, judged.images)
    np.testing.assert_array_equal(case.judged.labels, judged.labels)


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.shift], ids=lambda kind: kind.name)
def test_what_is_shifted_is_judged_on_images_of_the_same_shift(kind: Kind, pool: Labelled) -> None:
    # The very images of the pool as those to be judged on: what differs is the batch's choice, poison and grain.
    case = make_case(kind, pool, pool, count=400, seed=3)

    assert (case.judged.images != pool.images).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(case.judged.labels, pool.labels)
    if not kind.pick and not kind.spoil and "noise" not in kind.name and kind.name != "mixed":
        # In another order, and rounded as convolutions of another stack may be.
        order = [np.argsort(part.images.mean(axis=(1, 2, 3), dtype=np.float64)) for part in (case.batch, case.judged)]
        sides = [part.images[rows] for part, rows in zip((case.batch, case.judged), order, strict=True)]
        np.testing.assert_allclose(*sides, atol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if not kind.own_size], ids=lambda kind: kind.name)
def test_a_larger_batch_has_the_same_strengths(kind: Kind, pool: Labelled, judged: Labelled) -> None:
    small, large = (make_case(kind, pool, judged, count=count, seed=4) for count in (16, 64))

    assert small.settings == large.settings
    np.testing.assert_array_equal(small.judged.images, large.judged.images)
    if not kind.spoil and "noise" not in kind.name and kind.name not in ("mixed", "duplicates", "duplicates+blur"):
        np.testing.assert_allclose(small.batch.images, large.batch.images[:16], atol=1e-6)


@pytest.mark.parametrize("name", ["outliers-1", "outliers-20", "look-alikes-5", "some-junk"])
def test_a_poisoned_batch_is_that_without_poison_but_for_the_poison(name: str, pool: Labelled, judged) -> None:
    kind = KINDS[name]
    spoilt, whole = (make_case(k, pool, judged, count=100, seed=5) for k in (kind, UNPOISONED))

    differs = (spoilt.batch.images != whole.batch.images).any(axis=(1, 2, 3))
    assert differs.sum() == max(1, round(100 * spoilt.settings["share"]))
    np.testing.assert_array_equal(spoilt.judged.images, whole.judged.images)
    assert spoilt.settings["kappa"] == whole.settings["kappa"]


@pytest.mark.parametrize("count", [4, 512])
@pytest.mark.parametrize("name", [name for name in KINDS if KINDS[name].own_size])
def test_too_small_is_8_to_16_whatever_is_asked_for(name: str, count: int, pool: Labelled, judged: Labelled) -> None:
    counts = {len(make_case(KINDS[name], pool, judged, count=count, seed=seed).batch.labels) for seed in range(60)}

    assert (min(counts), max(counts)) == (8, 16)
    assert KINDS[name].own_size == 16


def test_strengths_of_a_composition_keep_their_own_names() -> None:
    case = make_case(KINDS["mixed"], labelled(40, 0), labelled(10, 1), count=20, seed=0)
    both = make_case(KINDS["colour+noise"], labelled(40, 0), labelled(10, 1), count=20, seed=0)

    assert set(case.settings) == {"sigma", "contrast"}
    assert set(both.settings) == {"contrast", "brightness", "deviation"}


# The rule.


def test_no_shift_is_of_calibration_and_of_judging() -> None:
    used = {step for kind in CALIBRATION for step in (*kind.pick, *kind.shift, *kind.spoil)}
    judging = [kind for kind in KINDS.values() if kind.use is Use.JUDGING]

    assert all(kind.use is Use.CALIBRATION for kind in CALIBRATION)
    for kind in judging:
        # What a kind is judged by is new in it: one step at least that no calibration has.
        steps = {*kind.pick, *kind.shift, *kind.spoil}
        assert steps - used, kind.name
    alone = {kind.shift[0] for kind in judging if len(kind.shift) == 1 and not kind.pick and not kind.spoil}
    assert not alone & used


def test_the_papers_distortion_is_never_as_strong_in_calibration_as_in_judging(pool: Labelled, judged) -> None:
    found = {
        kind.use: [make_case(kind, pool, judged, count=8, seed=seed).settings["kappa"] for seed in range(50)]
        for kind in (KINDS["distortion-mild"], KINDS["distortion-strong"])
    }
    poisoned = [make_case(UNPOISONED, pool, judged, count=8, seed=seed).settings["kappa"] for seed in range(50)]

    assert max(found[Use.CALIBRATION]) < min(found[Use.JUDGING] + poisoned)


def test_kinds_are_named_once_and_there_is_one_of_every_sort() -> None:
    names = [kind.name for kind in KINDS.values()]

    assert names == list(KINDS)
    assert len(KINDS) > 12
    for use in Use:
        assert {Answer.CLEAN, Answer.SHIFT} <= {kind.answer for kind in KINDS.values() if kind.use is use}
    assert all(kind.answer is Answer.HOSTILE for kind in KINDS.values() if kind.spoil)


def test_kinds_know_nothing_of_studies() -> None:
    code = "import sys, trainer.shifts.registry, trainer.shifts.cases; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert [] == [name for name in done.stdout.split() if name.startswith("trainer.studies")]


# Units.


@pytest.mark.parametrize(
    "spec",
    [
        InputSpec(name="x", shape=(1, 4, 4)),
        InputSpec(name="x", shape=(3, 4, 4), bounds=(0, 1), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)),
        InputSpec(name="x", shape=(3, 4, 4), bounds=(-1, 1), layout="NHWC"),
    ],
    ids=["plain", "normalised", "channels last"],
)
def test_units_of_the_camera_are_black_0_and_white_1(spec: InputSpec) -> None:
    pixels = np.zeros((2, *spec.shape), np.uint8)
    pixels[1] = 255

    units = to_units(spec.to_planes(spec.from_pixels(pixels)), spec)

    np.testing.assert_allclose(units, pixels / 255, atol=1e-6)
    images = labelled(3, 0, spec.shape).images * 2 - 0.5
    np.testing.assert_allclose(to_units(from_units(images, spec), spec), images, atol=1e-5)


def test_a_model_of_pixels_gets_what_pixels_can_hold() -> None:
    spec = InputSpec(name="x", shape=(1, 1, 3), dtype="uint8", bounds=(0, 255))

    held = from_units(np.float32([[[[-0.5, 0.5, 1.5]]]]), spec)

    np.testing.assert_array_equal(held, [[[[0, 128, 255]]]])
