"""Moments: those of a set of images are means over its rows, however the set was cut into batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from service.contract.statistics import ChannelMoments, ImageMoments, pool, take

LAW = settings(deadline=None, max_examples=60)

values = st.floats(-1e3, 1e3, width=32)


@st.composite
def batches(draw: st.DrawFn) -> list[NDArray[np.float32]]:
    """One to four batches of activations of the same channels and size."""
    item = draw(st.sampled_from([(1,), (3,), (2, 1, 1), (2, 3, 4), (3, 5)]))
    counts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    return [draw(arrays(np.float32, (count, *item), elements=values)) for count in counts]


def numpy_moments(activation: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance over everything but the channels, by numpy's own two-pass formula."""
    axes = (0, *range(2, activation.ndim))
    wide = activation.astype(np.float64)
    return wide.mean(axis=axes), wide.var(axis=axes)


def assert_close(actual: ChannelMoments, activation: NDArray[np.float32]) -> None:
    mean, var = numpy_moments(activation)
    # E[x^2] - E[x]^2 cancels: its error is that of the squares (up to 1e6), a few float64 roundings of 1e-16 each.
    np.testing.assert_allclose(actual.mean, mean, rtol=0, atol=1e-11)
    np.testing.assert_allclose(actual.var, var, rtol=0, atol=1e-8)


@LAW
@given(batches())
def test_pooling_a_concatenation_is_pooling_the_whole(parts: list[NDArray[np.float32]]) -> None:
    pooled = ImageMoments.concatenate([ImageMoments.of(part) for part in parts]).pooled()

    assert_close(pooled, np.concatenate(parts))


@LAW
@given(batches(), st.data())
def test_taking_rows_is_measuring_these_images(parts: list[NDArray[np.float32]], data: st.DataObject) -> None:
    whole = np.concatenate(parts)
    rows = np.array(data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=6)))

    taken = ImageMoments.of(whole).take(rows)

    assert len(taken) == len(rows)
    assert_close(taken.pooled(), whole[rows])


def test_moments_by_hand() -> None:
    activation = np.array([[[1.0, 3.0], [0.0, 0.0]], [[5.0, 7.0], [2.0, 2.0]]])

    moments = ImageMoments.of(activation)
    pooled = moments.pooled()

    assert moments.first.tolist() == [[2.0, 0.0], [6.0, 2.0]]
    assert moments.second.tolist() == [[5.0, 0.0], [37.0, 4.0]]
    assert pooled.mean.tolist() == [4.0, 1.0]
    assert pooled.var.tolist() == [5.0, 1.0]


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.1, -3e-20])
def test_the_variance_of_a_constant_is_zero_and_never_negative(value: float) -> None:
    pooled = ImageMoments.of(np.full((7, 2, 3, 3), value)).pooled()

    assert (pooled.var >= 0).all()
    # The error of the squares, as above.
    np.testing.assert_allclose(pooled.var, 0, atol=1e-15 * max(1.0, value**2))


def test_float32_activations_are_summed_in_float64() -> None:
    activation = np.full((1, 1, 1 << 16), 0.1, np.float32)

    moments = ImageMoments.of(activation)

    assert moments.first.dtype == moments.second.dtype == np.float64
    np.testing.assert_allclose(moments.first, np.float64(np.float32(0.1)), rtol=1e-13)


def test_pool_and_take_treat_every_tap_alike() -> None:
    draw = np.random.default_rng(0)
    a, b = draw.random((4, 2, 3), dtype=np.float32), draw.random((4, 5), dtype=np.float32)
    rows = np.array([3, 0, 3])

    pooled = pool(take({"a": ImageMoments.of(a), "b": ImageMoments.of(b)}, rows))

    assert list(pooled) == ["a", "b"]
    assert_close(pooled["a"], a[rows])
    assert_close(pooled["b"], b[rows])
