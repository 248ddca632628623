"""Distances between statistics, in numpy: the definition that gate, monitor and reports share.

The trainer's differentiable twins in `trainer/losses/` are held to these by tests.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from service.contract.statistics import ChannelMoments, Floats

VARIANCE_FLOOR = 1e-3
"""A channel's source variance counts as at least this share of its tap's mean variance: dead channels must not rule."""


def floored(var: Floats) -> Floats:
    """Source variances (C,) with the floor applied; at least 1e-12 where a whole tap is constant."""
    return np.maximum(var, max(VARIANCE_FLOOR * float(var.mean()), 1e-12))


def moment_distance(target: ChannelMoments, source: ChannelMoments) -> float:
    """Scale-free distance of channel moments, averaged over the channels of one tap.

    mean over c of ((m_t - m_s) / s_s)^2 + (log s_t - log s_s)^2, where m and s are mean and standard deviation and
    both variances are raised by the same floor of the source's. Without unit, 0 if and only if all moments agree, and
    unchanged when a channel of the network is rescaled.

    Source: Willis & Oala (2021), equation 1, with each term divided by its source scale (their r_stats had to be tuned
    over four decades because the original is not scale-free).
    """
    floor = floored(source.var) - source.var
    source_var = source.var + floor
    mean_term = np.square(target.mean - source.mean) / source_var
    scale_term = np.square(0.5 * np.log((target.var + floor + 1e-12) / (source_var + 1e-12)))
    return float(np.mean(mean_term + scale_term))


def statistics_loss(
    target: Mapping[str, ChannelMoments], source: Mapping[str, ChannelMoments], taps: Iterable[str]
) -> float:
    """Mean of `moment_distance` over `taps`, each tap with the same weight.

    Raises:
        ValueError: `taps` is empty: a loss over nothing would always be passed.
    """
    distances = [moment_distance(target[name], source[name]) for name in taps]
    if not distances:
        raise ValueError("a statistics loss needs at least one tap, got none")
    return float(np.mean(distances))
