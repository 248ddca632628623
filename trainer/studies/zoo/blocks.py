"""Pieces that several families share: a convolution with its normalisation, squeeze-and-excitation, the usual head."""

from collections.abc import Callable

from torch import Tensor, nn

Activation = Callable[[], nn.Module]


def conv_norm(
    inner: int,
    outer: int,
    kernel: int | tuple[int, int] = 3,
    stride: int = 1,
    *,
    groups: int = 1,
    dilation: int = 1,
    activation: Activation | None = nn.ReLU,
) -> nn.Sequential:
    """Convolution without bias that keeps the size at stride 1, BatchNormalization, activation."""
    sizes = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (sizes[0] // 2 * dilation, sizes[1] // 2 * dilation)
    layers: list[nn.Module] = [
        nn.Conv2d(inner, outer, sizes, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(outer),
    ]
    return nn.Sequential(*layers, *([activation()] if activation else []))


def head(features: int, classes: int, *, dropout: float = 0.0) -> nn.Sequential:
    """Global average pool, flatten, dropout if any, one linear layer."""
    drop = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *drop, nn.Linear(features, classes))


class SqueezeExcite(nn.Module):
    """Channels weighed by what their means say; two pointwise convolutions and two non-linearities."""

    def __init__(self, channels: int, squeezed: int, activation: Activation, gate: Activation) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            activation(),
            nn.Conv2d(squeezed, channels, 1),
            gate(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Weighed channels."""
        weighed: Tensor = x * self.weigh(x)
        return weighed


class Residual(nn.Module):
    """A body beside the identity."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Their sum."""
        total: Tensor = x + self.body(x)
        return total
