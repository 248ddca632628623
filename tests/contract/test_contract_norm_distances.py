"""The paper's distances are sums of plain norms, averaged over taps and over the classes that both sides have."""

import numpy as np
import pytest

from service.contract.norm_distances import class_norm_loss, norm_distance, norm_loss
from service.contract.statistics import ChannelMoments


def moments(mean: list[float], var: list[float]) -> ChannelMoments:
    return ChannelMoments(np.array(mean), np.array(var))


ZERO = moments([0, 0], [1, 1])


def test_both_norms_are_euclidean_and_not_squared() -> None:
    assert norm_distance(moments([3, 4], [1, 1]), ZERO) == pytest.approx(5)
    assert norm_distance(moments([0, 0], [7, 9]), ZERO) == pytest.approx(10)
    assert norm_distance(moments([3, 4], [7, 9]), ZERO) == pytest.approx(15)


def test_it_is_a_distance() -> None:
    a, b = moments([1, -2], [0.5, 3]), moments([0, 2], [1, 1])

    assert norm_distance(a, a) == 0
    assert norm_distance(a, b) == norm_distance(b, a) > 0


def test_taps_are_averaged_and_others_not_looked_at() -> None:
    target = {"a": moments([3, 4], [1, 1]), "b": ZERO, "c": moments([99, 99], [1, 1])}
    source = dict.fromkeys("abc", ZERO)

    assert norm_loss(target, source, ["a", "b"]) == pytest.approx(2.5)


def test_a_class_that_one_side_lacks_is_left_out() -> None:
    target = {"a": [moments([3, 4], [1, 1]), None, ZERO]}
    source = {"a": [ZERO, ZERO, None]}

    assert class_norm_loss(target, source, ["a"]) == pytest.approx(5)


def test_classes_are_averaged() -> None:
    target = {"a": [moments([3, 4], [1, 1]), ZERO]}

    assert class_norm_loss(target, {"a": [ZERO, ZERO]}, ["a"]) == pytest.approx(2.5)


def test_a_loss_over_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one tap"):
        norm_loss({}, {}, [])
    with pytest.raises(ValueError, match="at least one tap"):
        class_norm_loss({}, {}, [])
    with pytest.raises(ValueError, match="share"):
        class_norm_loss({"a": [ZERO, None]}, {"a": [None, ZERO]}, ["a"])
