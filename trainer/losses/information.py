"""How sure the answers are, and how different: the information that class scores carry of the images.

Source: Krause, Perona & Gomes, "Discriminative clustering by regularized information maximization" (2010); used to
adapt without labels by Liang, Hu & Feng, "Do we really need to access the source data?" (2020).
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST = 1e-8
"""Added to a probability before its logarithm."""


def uncertainty(scores: Tensor, kind: Literal["logits", "probabilities"]) -> Tensor:
    """Minus the mutual information of image and class: mean_i H(p_i) - H(mean_i p_i), from -log K to 0; a scalar.

    Lowest where every answer is certain and all classes are answered equally often. The second term keeps a fit from
    making all answers the same; it presumes that no class is far rarer than others.

    Args:
        scores: (n, K), what the frozen model gives.
        kind: whether they are probabilities already.
    """
    probability = functional.softmax(scores, dim=1) if kind == "logits" else scores
    return _entropy(probability).mean() - _entropy(probability.mean(dim=0, keepdim=True)).squeeze()


def _entropy(probability: Tensor) -> Tensor:
    """Of each row, in nats."""
    return -(probability * torch.log(probability + SMALLEST)).sum(dim=1)
