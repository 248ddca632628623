"""The homogenization paper's own distances between statistics, in numpy: the definition of `trainer/losses/norms.py`.

They carry the unit of the activations, so that a weight beside another loss must be tuned for each network. What the
project itself decides by is in `distances.py`, which is scale-free.

Source: Willis & Oala, "Post-hoc domain adaptation via guided data homogenization" (2021), equation 1.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from service.contract.statistics import ChannelMoments

ClassMoments = Sequence[ChannelMoments | None]
"""Moments of one tap for each class; None for a class without an image."""


def norm_distance(target: ChannelMoments, source: ChannelMoments) -> float:
    """Sum over both moments of the Euclidean distance over the channels of one tap: |m_t - m_s| + |v_t - v_s|.

    m is the mean and v the biased variance; neither norm is squared.
    """
    return float(np.linalg.norm(target.mean - source.mean) + np.linalg.norm(target.var - source.var))


def norm_loss(target: Mapping[str, ChannelMoments], source: Mapping[str, ChannelMoments], taps: Iterable[str]) -> float:
    """Mean of `norm_distance` over `taps`, as in the authors' code; the paper writes a sum.

    Raises:
        ValueError: `taps` is empty.
    """
    return _mean_over_taps([norm_distance(target[name], source[name]) for name in taps])


def class_norm_loss(
    target: Mapping[str, ClassMoments], source: Mapping[str, ClassMoments], taps: Iterable[str]
) -> float:
    """Mean over `taps` of the mean of `norm_distance` over the classes that both sides have.

    The authors' code counts a class without an image as mean 0 and variance 1; here it is left out.

    Raises:
        ValueError: `taps` is empty, or no class is on both sides.
    """
    return _mean_over_taps([_over_classes(target[name], source[name]) for name in taps])


def _over_classes(target: ClassMoments, source: ClassMoments) -> float:
    distances = [norm_distance(t, s) for t, s in zip(target, source, strict=True) if t is not None and s is not None]
    if not distances:
        raise ValueError("a class-conditional loss needs a class that source and target share, got none")
    return float(np.mean(distances))


def _mean_over_taps(distances: list[float]) -> float:
    if not distances:
        raise ValueError("a statistics loss needs at least one tap, got none")
    return float(np.mean(distances))
