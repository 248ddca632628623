"""Every image is kept, or left out for one reason; honest batches keep nearly all of theirs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter

from trainer.gate.sanity import Fault, examine, robust_z

NONE = np.zeros(3)


def scenes(count: int, seed: int = 0, *, tail: float = 1.0) -> np.ndarray:
    """Pictures whose contrast and sharpness have long tails, and whose brightness varies."""
    draw = np.random.default_rng(seed)
    noise = draw.normal(size=(count, 1, 20, 20))
    sharp, soft = gaussian_filter(noise, (0, 0, 0.7, 0.7)), gaussian_filter(noise, (0, 0, 2.0, 2.0))
    mixed = soft / soft.std() + draw.gamma(1.0 / tail, 0.3 * tail, (count, 1, 1, 1)) * sharp / sharp.std()
    contrast, brightness = draw.lognormal(-2.0, 0.5 * tail, (count, 1, 1, 1)), draw.beta(2, 5, (count, 1, 1, 1))
    return np.asarray(np.clip(brightness + contrast * mixed, 0.0, 1.0), dtype=np.float32)


def test_each_fault_is_told_from_the_others() -> None:
    images = scenes(60)
    images[3, 0, 4, 5] = np.nan
    images[7] = 0.3
    images[20] = images[11]
    images[30] = np.indices((20, 20)).sum(axis=0) % 2

    found = examine(images, 1.0)

    assert {fault: rows.tolist() for fault, rows in found.left_out.items()} == {
        Fault.NOT_FINITE: [3],
        Fault.FLAT: [7],
        Fault.REPEAT: [20],
        Fault.OUTLIER: [30],
    }
    assert found.keep.tolist() == [row for row in range(60) if row not in (3, 7, 20, 30)]


def test_shares_are_of_the_whole_batch() -> None:
    images = scenes(50)
    images[:5] = 0.25

    assert examine(images, 1.0).numbers("batch_") == {
        "batch_share_not_finite": 0.0,
        "batch_share_flat": 0.1,
        "batch_share_repeat": 0.0,
        "batch_share_outlier": 0.0,
    }


def test_a_picture_of_one_colour_is_flat() -> None:
    images = np.repeat(scenes(20), 3, axis=1)
    images[4] = np.array([0.9, 0.1, 0.4], dtype=np.float32)[:, None, None]

    assert examine(images, 1.0).left_out[Fault.FLAT].tolist() == [4]


def test_an_outlier_may_show_in_further_numbers_alone() -> None:
    more = np.random.default_rng(1).normal(size=(60, 4))
    more[17, 2] = 40.0

    assert examine(scenes(60), 1.0, more).left_out[Fault.OUTLIER].tolist() == [17]


def test_pictures_of_one_brightness_and_contrast_may_differ_a_little() -> None:
    draw = np.random.default_rng(7)
    texture = scenes(1)[0] - scenes(1)[0].mean()
    images = np.stack([np.roll(texture, draw.integers(0, 20, 2), axis=(1, 2)) for _ in range(40)])
    images *= 1 + 1e-3 * draw.normal(size=(40, 1, 1, 1)).astype(np.float32)
    images[9] = 1.3 * images[9] + 0.02

    assert examine(images, 1.0).left_out[Fault.OUTLIER].size == 0


def test_further_numbers_that_hardly_vary_make_no_outliers() -> None:
    more = np.random.default_rng(1).normal(size=(60, 4))
    more[:, 2] *= 1e-6
    more[17, 2] = 1e-3

    assert examine(scenes(60), 1.0, more).left_out[Fault.OUTLIER].size == 0


@pytest.mark.parametrize("blur", [0.0, 1.0, 2.0])
def test_an_honest_batch_with_long_tails_keeps_99_percent(blur: float) -> None:
    images = gaussian_filter(scenes(1000, seed=2), (0, 0, blur, blur)) if blur else scenes(1000, seed=2)

    found = examine(images, 1.0)

    assert found.share(Fault.OUTLIER) < 0.01
    assert found.share(Fault.REPEAT) == found.share(Fault.FLAT) == 0.0


@pytest.mark.parametrize("share", [0.01, 0.1, 0.2])
def test_saturated_noise_is_found_up_to_a_fifth_of_the_batch(share: float) -> None:
    images = scenes(500, seed=3, tail=0.1)
    poisoned = int(share * 500)
    images[:poisoned] = np.random.default_rng(4).integers(0, 2, images[:poisoned].shape)

    assert set(range(poisoned)) <= set(examine(images, 1.0).left_out[Fault.OUTLIER].tolist())


@pytest.mark.parametrize("value", [np.nan, 0.5], ids=["not finite", "flat"])
def test_a_batch_without_one_good_image_keeps_none(value: float) -> None:
    assert examine(np.full((9, 1, 6, 6), value, dtype=np.float32), 1.0).keep.size == 0


def test_of_a_few_images_none_is_an_outlier() -> None:
    images = scenes(5)
    images[2] = np.indices((20, 20)).sum(axis=0) % 2

    assert examine(images, 1.0).keep.tolist() == [0, 1, 2, 3, 4]


@settings(deadline=None, max_examples=40)
@given(arrays(np.float32, (10, 1, 4, 4), elements=st.sampled_from([0.0, 0.5, 1.0, float("nan"), float("inf")])))
def test_keep_and_left_out_are_the_batch(images: np.ndarray) -> None:
    found = examine(images, 1.0)

    assert sorted(np.concatenate([found.keep, *found.left_out.values()]).tolist()) == list(range(10))
    assert list(found.left_out) == list(Fault)


def test_robust_z_of_normal_numbers_is_their_distance_in_standard_deviations() -> None:
    values = np.random.default_rng(5).normal([1.0, -2.0, 0.0], [1.0, 5.0, 0.1], (20000, 3))

    # Quartiles of 20,000 numbers are known to 1.4 % of a standard deviation, a unit to 1.4 / 0.6745 %; three of them.
    expected = np.abs(values - [1.0, -2.0, 0.0]) / [1.0, 5.0, 0.1]
    np.testing.assert_allclose(robust_z(values, NONE), expected, rtol=0.06, atol=0.04)


def test_each_side_of_a_skewed_column_has_its_own_unit() -> None:
    # Quartiles -1, 0 and 4; the median distance from 0 is 1.
    values = np.array([-1.0, -1.0, -1.0, -1.0, 0.0, 4.0, 4.0, 4.0, 8.0])[:, None]

    expected = 0.6745 * np.array([1, 1, 1, 1, 0, 1, 1, 1, 2])
    np.testing.assert_allclose(robust_z(values, np.zeros(1))[:, 0], expected)


def test_a_column_of_one_value_has_no_outliers_and_a_floor_keeps_a_narrow_one_calm() -> None:
    values = np.zeros((20, 2))
    values[3, 1] = 1.0

    assert robust_z(values[:, :1], np.zeros(1)).max() == 0.0
    assert robust_z(values[:, 1:], np.array([0.5])).max() == pytest.approx(2.0)
