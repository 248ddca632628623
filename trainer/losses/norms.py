"""The homogenization paper's statistics losses in torch: the twins of `service.contract.norm_distances`."""

from collections.abc import Mapping

import torch
from torch import Tensor

from service.contract.norm_distances import ClassMoments
from service.contract.statistics import ChannelMoments
from trainer.losses.channel_moments import Moments, channel_moments

Named = Mapping[str, Tensor]


class NormLoss:
    """Mean over taps of |m_t - m_s| + |v_t - v_s|, Euclidean norms over the channels, not squared.

    Args:
        source: source moments of each tap; its taps are the ones compared.
        device: where the activations will be.
    """

    def __init__(self, source: Mapping[str, ChannelMoments], device: torch.device | str = "cpu") -> None:
        self._source = {name: (_tensor(m.mean, device), _tensor(m.var, device)) for name, m in source.items()}

    def __call__(self, activations: Named) -> Tensor:
        """The loss of activations (n, C, ...), one entry a tap; a scalar."""
        return self.of({name: channel_moments(activations[name]) for name in self._source})

    def of(self, moments: Mapping[str, Moments]) -> Tensor:
        """The loss of the moments of whole batches, one entry a tap; a scalar."""
        return torch.stack([self._distance(*moments[name], *self._source[name]) for name in self._source]).mean()

    @staticmethod
    def _distance(mean_t: Tensor, var_t: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        distance: Tensor = torch.linalg.vector_norm(mean_t - mean) + torch.linalg.vector_norm(var_t - var)
        return distance


class ClassNormLoss:
    """The same for each class, averaged over the classes that a batch and the source both have.

    Args:
        source: for each tap the moments of each class, None for a class without an image.
        device: where activations and labels will be.
    """

    def __init__(self, source: Mapping[str, ClassMoments], device: torch.device | str = "cpu") -> None:
        self._source = {name: _classes(moments, device) for name, moments in source.items()}

    def __call__(self, activations: Named, labels: Tensor) -> Tensor:
        """The loss of activations (n, C, ...) of images with `labels` (n,); a scalar.

        Raises:
            ValueError: the batch has no class that the source has.
        """
        return torch.stack([self._distance(activations[name], labels, name) for name in self._source]).mean()

    def _distance(self, activation: Tensor, labels: Tensor, name: str) -> Tensor:
        mean, var, known = self._source[name]
        flat = activation.flatten(2) if activation.ndim > 2 else activation[:, :, None]
        chosen = torch.nn.functional.one_hot(labels, len(known)).T.to(flat.dtype)
        counts = chosen.sum(dim=1)
        present = known & (counts > 0)
        if not present.any():
            raise ValueError("a class-conditional loss needs a class that source and target share, got none")
        weights = chosen[present] / counts[present, None]
        mean_t = weights @ flat.mean(dim=2)
        # Deviations from the class's own mean: the difference of two large moments would lose float32's digits.
        centred = flat - (chosen.T[:, present] @ mean_t)[:, :, None]
        var_t = weights @ centred.square().mean(dim=2)
        of_means: Tensor = torch.linalg.vector_norm(mean_t - mean[present], dim=1)
        of_variances: Tensor = torch.linalg.vector_norm(var_t - var[present], dim=1)
        return (of_means + of_variances).mean()


def _tensor(values: object, device: torch.device | str) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device=device)


def _classes(moments: ClassMoments, device: torch.device | str) -> tuple[Tensor, Tensor, Tensor]:
    """Means and variances (K, C), and which of the K classes are known."""
    width = next(len(m.mean) for m in moments if m is not None)
    none = torch.zeros(width)
    means = torch.stack([none if m is None else _tensor(m.mean, "cpu") for m in moments])
    variances = torch.stack([none if m is None else _tensor(m.var, "cpu") for m in moments])
    known = torch.tensor([m is not None for m in moments])
    return means.to(device), variances.to(device), known.to(device)
