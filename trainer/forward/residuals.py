"""The statistics loss as a sum of squares, one residual for each moment of each channel, as least squares want it."""

from collections.abc import Mapping

import numpy as np

from service.contract.distances import floored
from service.contract.statistics import ChannelMoments, Floats


def statistics_residuals(target: Mapping[str, ChannelMoments], source: Mapping[str, ChannelMoments]) -> Floats:
    """Residuals whose sum of squares is `service.contract.distances.statistics_loss` over the taps of `source`.

    (m_t - m_s) / s_s and log s_t - log s_s of every channel, over the root of the tap's channels times the taps.
    """
    parts = [_of_tap(target[name], moments) / np.sqrt(len(source)) for name, moments in source.items()]
    return np.concatenate(parts)


def _of_tap(target: ChannelMoments, source: ChannelMoments) -> Floats:
    var = floored(source.var)
    raised = target.var + (var - source.var)
    means = (target.mean - source.mean) / np.sqrt(var)
    scales = 0.5 * np.log((raised + 1e-12) / (var + 1e-12))
    return np.asarray(np.concatenate([means, scales]) / np.sqrt(len(var)))
