"""Planted images deviate, whatever unit the columns have; two fits agree as far as arithmetic says."""

import numpy as np
import pytest

from trainer.gate.poison import central, deviating, deviations, disagreement


def batch(count: int = 128, seed: int = 0) -> np.ndarray:
    """Correlated normal columns of very different units."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=(count, 10)) @ draw.normal(size=(10, 10)) * 10.0 ** np.arange(-3, 7) + 5.0


def poisoned(share: float, seed: int = 0) -> tuple[np.ndarray, int]:
    """The first rows lie 30 deviations off in every column, all in one place."""
    values = batch(seed=seed)
    count = max(1, int(share * len(values)))
    values[:count] = values.mean(axis=0) + values.std(axis=0) * (30.0 + 0.1 * values[:count] / values.std(axis=0))
    return values, count


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.2])
def test_planted_images_deviate_and_others_do_not(share: float) -> None:
    values, count = poisoned(share)

    found = deviating(values)

    assert found[:count].all()
    assert found[count:].mean() <= 0.02


def test_a_break_of_correlation_alone_is_found() -> None:
    draw = np.random.default_rng(1)
    common = draw.normal(size=(200, 1))
    values = common + 0.05 * draw.normal(size=(200, 6))
    values[0] = [1.5, -1.5, 1.5, -1.5, 1.5, -1.5]

    assert np.flatnonzero(deviating(values)).tolist() == [0]


def test_huge_images_do_not_hide_a_break_of_correlation() -> None:
    draw = np.random.default_rng(1)
    values = draw.normal(size=(100, 1)) + 0.05 * draw.normal(size=(100, 2))
    values[:5] = [1e4, 0.0]
    values[5] = [1.5, -1.5]

    assert np.flatnonzero(deviating(values)).tolist() == [0, 1, 2, 3, 4, 5]


def test_an_image_in_the_very_middle_does_not_deviate() -> None:
    values = np.random.default_rng(6).normal(size=(64, 200))
    values[7] = np.median(values, axis=0)

    assert not deviating(values)[7]


@pytest.mark.parametrize("seed", range(4))
def test_normal_batches_have_hardly_any(seed: int) -> None:
    assert deviating(batch(512, seed)).mean() <= 0.005


def test_units_and_origins_of_columns_do_not_matter() -> None:
    values, _ = poisoned(0.05)

    np.testing.assert_allclose(
        deviations(values * 10.0 ** np.arange(10) - 3.0), deviations(values), rtol=1e-6, atol=1e-9
    )


def test_the_order_of_images_does_not_matter() -> None:
    values, _ = poisoned(0.05)
    order = np.random.default_rng(2).permutation(len(values))

    np.testing.assert_allclose(deviations(values[order]), deviations(values)[order], rtol=1e-6, atol=1e-9)


def test_constant_columns_change_nothing() -> None:
    values, _ = poisoned(0.05)

    np.testing.assert_allclose(
        deviations(np.concatenate([values, np.ones((len(values), 3))], axis=1)),
        deviations(values),
        rtol=1e-6,
        atol=1e-9,
    )


def test_images_that_are_all_alike_do_not_deviate() -> None:
    assert np.array_equal(deviations(np.ones((20, 4))), np.zeros(20))


def test_trimming_takes_the_farthest_and_keeps_the_order() -> None:
    values, count = poisoned(0.1)

    kept = central(values, 0.1)

    assert np.array_equal(kept, np.arange(count, len(values)))


def test_trimming_nothing_keeps_all() -> None:
    assert np.array_equal(central(batch(30), 0.0), np.arange(30))


def test_fits_that_agree_do_not_differ_and_opposite_ones_differ_by_two() -> None:
    images, step = np.zeros((4, 1, 3, 3)), np.random.default_rng(3).normal(size=(4, 1, 3, 3))

    assert disagreement(images + step, images + step, images) == 0.0
    assert disagreement(images + step, images - step, images) == pytest.approx(2.0)


def test_fits_with_nothing_in_common_differ_by_the_root_of_two() -> None:
    images = np.random.default_rng(4).random((2, 1, 4, 4))
    first, second = np.zeros((2, 2, 1, 4, 4))
    first[..., :2, :], second[..., 2:, :] = 0.7, 0.7

    assert disagreement(images + first, images + second, images) == pytest.approx(np.sqrt(2.0))


def test_a_tenth_between_fits_is_a_tenth() -> None:
    images = np.random.default_rng(5).random((2, 1, 4, 4)).astype(np.float32)

    # 1.05 and 0.95: a tenth apart, and of mean square (1.05^2 + 0.95^2) / 2 = 1.0025.
    found = disagreement(images + 1.05, images + 0.95, images)
    assert found == pytest.approx(0.1 / np.sqrt(1.0025), rel=1e-5)


def test_fits_that_change_nothing_agree() -> None:
    images = np.ones((2, 1, 2, 2))

    assert disagreement(images, images, images) == 0.0
