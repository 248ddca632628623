"""Dividing a posted batch: what is fitted never chooses, what chooses never judges."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FIT_SHARE = 0.60
SELECT_SHARE = 0.15


@dataclass(frozen=True)
class Parts:
    """Row numbers of the three parts; disjoint, and together all rows."""

    fit: NDArray[np.int64]
    select: NDArray[np.int64]
    judge: NDArray[np.int64]


def split(count: int, seed: int) -> Parts:
    """60 % to fit, 15 % to choose, the rest to judge, drawn with `seed`.

    Raises:
        ValueError: fewer than 4 rows: a part would be empty.
    """
    if count < 4:
        raise ValueError(f"a batch of {count} cannot be divided in three; at least 4 are needed")
    order = np.random.default_rng(seed).permutation(count)
    fit = max(1, round(FIT_SHARE * count))
    select = max(1, round(SELECT_SHARE * count))
    return Parts(order[:fit], order[fit : fit + select], order[fit + select :])
