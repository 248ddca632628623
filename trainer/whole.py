"""The exact gradient of a loss of all images together, in pieces that fit into memory.

A statistics loss depends on the images through the pooled moments of each tap alone. Where all images at once would
take too much memory, a first pass finds those moments, and a second one sends the loss's gradient by them back through
one piece after another: the same gradient for half as much work again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from trainer.losses.channel_moments import Moments, channel_moments

MOST_VALUES = 1 << 21
"""Input values in one piece: what is kept for its gradient takes a few hundred times as much."""

Forward = Callable[[Tensor], tuple[Mapping[str, Tensor], Tensor]]
"""For image numbers (n,): the activations (n, C, ...) of every tap, and a loss that is a mean over the images."""


class StatisticsLoss(Protocol):
    """A loss of pooled moments."""

    def of(self, moments: Mapping[str, Moments]) -> Tensor:
        """The loss of moments of whole batches; a scalar."""
        ...


def pieces(images: Tensor) -> Sequence[Tensor]:
    """The numbers of images (n, C, H, W), as many at once as one pass with gradients has room for."""
    most = max(1, MOST_VALUES // images[0].numel())
    return torch.split(torch.arange(len(images)), most)


def backward(statistics: StatisticsLoss, forward: Forward, rows: Sequence[Tensor]) -> float:
    """Add the gradient of the loss of all images to the parameters behind `forward`; return the loss."""
    if len(rows) == 1:
        taps, criterion = forward(rows[0])
        loss = statistics.of({name: channel_moments(tap) for name, tap in taps.items()}) + criterion
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss.item()
    shares = [len(part) / sum(map(len, rows)) for part in rows]
    pooled, others = _pooled(forward, rows, shares)
    loss = statistics.of(pooled)
    slopes = torch.autograd.grad(loss, [value for pair in pooled.values() for value in pair])
    for part, share in zip(rows, shares, strict=True):
        _push(forward, part, share, pooled, slopes)
    return loss.item() + others


def _pooled(
    forward: Forward, rows: Sequence[Tensor], shares: Sequence[float]
) -> tuple[dict[str, tuple[Tensor, Tensor]], float]:
    """Mean and variance of every tap over all images, as leaves of a graph; and the other loss."""
    means: dict[str, Tensor] = {}
    squares: dict[str, Tensor] = {}
    criterion = 0.0
    with torch.no_grad():
        for part, share in zip(rows, shares, strict=True):
            taps, value = forward(part)
            criterion += share * float(value)
            for name, tap in taps.items():
                mean, var = (moment.double() for moment in channel_moments(tap))
                means[name] = means.get(name, 0.0) + share * mean
                squares[name] = squares.get(name, 0.0) + share * (var + mean.square())
    leaves = {
        name: (mean.float().requires_grad_(), (squares[name] - mean.square()).clamp_min(0.0).float().requires_grad_())
        for name, mean in means.items()
    }
    return leaves, criterion


def _push(
    forward: Forward,
    part: Tensor,
    share: float,
    pooled: Mapping[str, tuple[Tensor, Tensor]],
    slopes: Sequence[Tensor],
) -> None:
    """Add one piece's part of the gradient: that of a sum of its moments, each times the loss's slope by it.

    Squares are taken about the pooled mean, by which the pooled variance then has no slope.
    """
    taps, criterion = forward(part)
    total = criterion
    for index, (name, (mean, _)) in enumerate(pooled.items()):
        flat = taps[name].transpose(0, 1).flatten(1)
        about = (flat - mean.detach()[:, None]).square().mean(dim=1)
        total = total + slopes[2 * index] @ flat.mean(dim=1) + slopes[2 * index + 1] @ about
    (share * total).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
