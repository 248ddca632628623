"""Class scores as probabilities, and how sure they are. Numpy and scipy only."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, softmax

from service.contract.statistics import Floats


def probabilities(scores: NDArray[np.floating], kind: Literal["logits", "probabilities"]) -> Floats:
    """Class probabilities (n, K) float64: the softmax of each row, unless the rows are probabilities already."""
    values = scores.astype(np.float64)
    return values if kind == "probabilities" else np.asarray(softmax(values, axis=1))


def entropies(probability: Floats) -> Floats:
    """Entropy of each row of (n, K), in nats; 0 log 0 counts as 0."""
    return np.asarray(entr(probability).sum(axis=1))
