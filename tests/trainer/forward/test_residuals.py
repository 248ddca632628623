"""The residuals' sum of squares is the statistics loss, by its definition in the contract."""

import numpy as np
import pytest

from service.contract.distances import statistics_loss
from service.contract.statistics import ChannelMoments
from trainer.forward.residuals import statistics_residuals


def moments(seed: int, *, flat: bool = False) -> dict[str, ChannelMoments]:
    draw = np.random.default_rng(seed)
    sizes = {"early": 3, "late": 17}
    return {
        name: ChannelMoments(draw.normal(size=size), np.zeros(size) if flat else draw.gamma(1.0, size=size))
        for name, size in sizes.items()
    }


@pytest.mark.parametrize("flat", [False, True], ids=["any", "constant target"])
def test_their_sum_of_squares_is_the_statistics_loss(flat) -> None:
    source, target = moments(0), moments(1, flat=flat)
    # A dead channel: the floor of its source variance takes part.
    source["late"].var[4] = 0.0

    residuals = statistics_residuals(target, source)

    assert residuals @ residuals == pytest.approx(statistics_loss(target, source, source), rel=1e-12)


def test_equal_moments_leave_nothing() -> None:
    assert not statistics_residuals(moments(0), moments(0)).any()
