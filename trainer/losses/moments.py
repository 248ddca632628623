"""The scale-free statistics loss in torch: the twin of `service.contract.distances.statistics_loss`."""

from collections.abc import Mapping

import torch

from service.contract.distances import floored
from service.contract.statistics import ChannelMoments
from trainer.losses.channel_moments import Moments, channel_moments


class MomentLoss:
    """Mean over taps and channels of ((m_t - m_s) / s_s)^2 + (log s_t - log s_s)^2.

    Args:
        source: source moments of each tap; its taps are the ones compared.
    """

    def __init__(self, source: Mapping[str, ChannelMoments]) -> None:
        self._source = {name: _constants(moments) for name, moments in source.items()}
        self.taps = tuple(source)

    def __call__(self, activations: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The loss of activations (n, C, ...), one entry a tap; a scalar."""
        return self.of({name: channel_moments(activations[name]) for name in self.taps})

    def of(self, moments: Mapping[str, Moments]) -> torch.Tensor:
        """The loss of the moments of whole batches, one entry a tap; a scalar."""
        return torch.stack([self._distance(*moments[name], *self._source[name]) for name in self.taps]).mean()

    @staticmethod
    def _distance(
        mean_t: torch.Tensor, var_t: torch.Tensor, mean: torch.Tensor, var: torch.Tensor, floor: torch.Tensor
    ) -> torch.Tensor:
        scale = 0.5 * torch.log((var_t + floor + 1e-12) / (var + 1e-12))
        return ((mean_t - mean).square() / var + scale.square()).mean()


def _constants(moments: ChannelMoments) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean, raised variance and the raise of one tap, three tensors (C,) float32."""
    var = floored(moments.var)
    return tuple(torch.from_numpy(array).float() for array in (moments.mean, var, var - moments.var))  # type: ignore[return-value]
