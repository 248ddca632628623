"""A batch is divided into three parts that share no image, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.split import split

counts = st.integers(4, 5000)
seeds = st.integers(0, 2**63)


@given(counts, seeds)
def test_parts_are_disjoint_and_complete_and_none_is_empty(count: int, seed: int) -> None:
    parts = split(count, seed)

    together = np.concatenate([parts.fit, parts.select, parts.judge])
    assert sorted(together) == list(range(count))
    assert min(len(parts.fit), len(parts.select), len(parts.judge)) >= 1


@given(counts, seeds)
def test_shares_are_60_15_and_25_percent_to_a_row(count: int, seed: int) -> None:
    parts = split(count, seed)

    for part, share in ((parts.fit, 0.60), (parts.select, 0.15), (parts.judge, 0.25)):
        # Two parts are rounded by up to half a row each, the third takes what is left.
        assert abs(len(part) - share * count) <= 1


@given(counts, seeds)
def test_the_same_seed_divides_the_same_way(count: int, seed: int) -> None:
    first, second = split(count, seed), split(count, seed)

    for name in ("fit", "select", "judge"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


def test_another_seed_divides_another_way() -> None:
    judged = {tuple(sorted(split(40, seed).judge)) for seed in range(20)}

    assert len(judged) == 20


def test_neither_order_nor_seed_favours_a_row() -> None:
    chosen = np.zeros(20)
    for seed in range(2000):
        chosen[split(20, seed).judge] += 1

    # 5 of 20 rows judge: 500 of 2000 a row, standard deviation sqrt(2000 * 0.25 * 0.75) = 19; five of them.
    assert np.abs(chosen - 500).max() < 97


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_batch_too_small_to_divide_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="at least 4"):
        split(count, 0)
