"""Distances of moments: the numbers that gate, monitor and reports rest on."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.contract.distances import floored, moment_distance, statistics_loss
from service.contract.statistics import ChannelMoments

LAW = settings(deadline=None, max_examples=80)


def moments(mean: list[float], var: list[float]) -> ChannelMoments:
    return ChannelMoments(np.array(mean, np.float64), np.array(var, np.float64))


@st.composite
def pairs(draw: st.DrawFn, *, lowest_var: int = 0) -> tuple[ChannelMoments, ChannelMoments]:
    """Two moments of one to four channels, in eighths: what differs, differs by more than any rounding."""
    channels = draw(st.integers(1, 4))
    means = st.lists(st.integers(-80, 80).map(lambda n: n / 8), min_size=channels, max_size=channels)
    variances = st.lists(st.integers(lowest_var, 64).map(lambda n: n / 8), min_size=channels, max_size=channels)
    first = draw(means), draw(variances)
    second = draw(means | st.just(first[0])), draw(variances | st.just(first[1]))
    return moments(*first), moments(*second)


@LAW
@given(pairs())
def test_the_distance_is_zero_if_and_only_if_the_moments_are_equal(pair: tuple[ChannelMoments, ChannelMoments]) -> None:
    target, source = pair
    equal = np.array_equal(target.mean, source.mean) and np.array_equal(target.var, source.var)

    distance = moment_distance(target, source)

    assert distance >= 0
    assert (distance == 0) == equal


@LAW
@given(pairs(lowest_var=1), st.floats(1e-2, 1e2))
def test_the_distance_does_not_change_with_the_scale_of_a_tap(
    pair: tuple[ChannelMoments, ChannelMoments], scale: float
) -> None:
    target, source = pair
    scaled = [ChannelMoments(scale * side.mean, scale**2 * side.var) for side in pair]

    # The smallest variance is 1e-5, to which the code adds 1e-12 against log(0).
    assert moment_distance(*scaled) == pytest.approx(moment_distance(target, source), rel=1e-6, abs=1e-12)


@LAW
@given(pairs(lowest_var=8), st.floats(0.5, 2), st.integers(0, 3))
def test_the_distance_does_not_change_with_the_scale_of_one_channel_above_the_floor(
    pair: tuple[ChannelMoments, ChannelMoments], scale: float, channel: int
) -> None:
    target, source = pair
    scales = np.ones(len(source.mean))
    scales[channel % len(scales)] = scale
    scaled = [ChannelMoments(scales * side.mean, scales**2 * side.var) for side in pair]

    assert moment_distance(*scaled) == pytest.approx(moment_distance(target, source), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("target", "source", "expected"),
    [
        pytest.param(moments([3], [4]), moments([1], [4]), 1.0, id="mean_off_by_one_std"),
        pytest.param(moments([0], [16]), moments([0], [4]), math.log(2) ** 2, id="std_doubled"),
        pytest.param(moments([0], [1]), moments([0], [4]), math.log(2) ** 2, id="std_halved"),
        pytest.param(
            moments([1, 2], [1, 16]), moments([0, 2], [1, 4]), (1 + math.log(2) ** 2) / 2, id="mean_over_channels"
        ),
        # The tap's mean variance is 1, so the dead channel counts as one of variance 1e-3: 0.1^2 / 1e-3 = 10.
        pytest.param(moments([0.1, 0], [0, 2]), moments([0, 0], [0, 2]), 5.0, id="dead_channel_has_the_floor"),
        # Both variances get the same 1e-3: log(1e-3 + 0.999) - log(1e-3) = log(1000).
        pytest.param(
            moments([0, 0], [0.999, 2]),
            moments([0, 0], [0, 2]),
            (math.log(1000) / 2) ** 2 / 2,
            id="both_variances_get_the_same_floor",
        ),
    ],
)
def test_the_distance_by_hand(target: ChannelMoments, source: ChannelMoments, expected: float) -> None:
    # 1e-12 added to variances of 1e-3 and more: 1e-9 of the result.
    assert moment_distance(target, source) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(
    ("var", "expected"),
    [
        pytest.param([1.0, 3.0], [1.0, 3.0], id="live_channels_stay"),
        pytest.param([0.0, 2.0], [1e-3, 2.0], id="a_dead_channel_is_raised"),
        pytest.param([0.0, 0.0], [1e-12, 1e-12], id="a_constant_tap_is_raised"),
    ],
)
def test_the_floor_is_a_share_of_the_taps_mean_variance(var: list[float], expected: list[float]) -> None:
    assert floored(np.array(var)).tolist() == pytest.approx(expected, rel=1e-12)


def test_a_loss_gives_every_named_tap_the_same_weight() -> None:
    source = {"a": moments([0], [1]), "b": moments([0, 0], [1, 1]), "ignored": moments([0], [1])}
    target = {"a": moments([1], [1]), "b": moments([2, 2], [1, 1]), "ignored": moments([99], [1])}

    assert statistics_loss(target, source, ["a", "b"]) == pytest.approx((1 + 4) / 2)


def test_a_loss_over_no_tap_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one tap"):
        statistics_loss({}, {}, [])
