"""MobileNetV2 (inverted residuals, ReLU6) and MobileNetV3 (hard-swish, squeeze-and-excitation with a hard sigmoid).

Sources: Sandler et al., MobileNetV2 (2018); Howard et al., Searching for MobileNetV3 (2019).
"""

from torch import nn

from trainer.studies.zoo.blocks import Activation, Residual, SqueezeExcite, conv_norm, head


def _inverted(
    inner: int, outer: int, stride: int, *, expand: int, activation: Activation, kernel: int = 3, squeeze: bool = False
) -> nn.Module:
    """Widen, convolve each channel, squeeze-and-excite if asked for, narrow; beside the identity if the shape stays."""
    wide = inner * expand
    layers = [conv_norm(inner, wide, 1, activation=activation)] if expand > 1 else []
    layers.append(conv_norm(wide, wide, kernel, stride, groups=wide, activation=activation))
    excite = [SqueezeExcite(wide, wide // 4, nn.ReLU, nn.Hardsigmoid)] if squeeze else []
    narrow = conv_norm(wide, outer, 1, activation=None)
    body = (*layers, *excite, narrow)
    return Residual(*body) if stride == 1 and inner == outer else nn.Sequential(*body)


def mobilenet_v2() -> nn.Sequential:
    """Stem, a block that does not widen, four that do, a wide last convolution."""
    plan = [(8, 8, 1, 1), (8, 12, 2, 6), (12, 12, 1, 6), (12, 16, 2, 6), (16, 16, 1, 6)]
    blocks = [_inverted(i, o, stride, expand=expand, activation=nn.ReLU6) for i, o, stride, expand in plan]
    last = conv_norm(16, 64, 1, activation=nn.ReLU6)
    return nn.Sequential(conv_norm(3, 8, 3, 2, activation=nn.ReLU6), *blocks, last, head(64, 10, dropout=0.2))


def mobilenet_v3() -> nn.Sequential:
    """Blocks with ReLU and with hard-swish, kernels of 3 and of 5, and the head of two linear layers."""
    blocks = [
        _inverted(8, 8, 2, expand=1, activation=nn.ReLU, squeeze=True),
        _inverted(8, 12, 2, expand=4, activation=nn.ReLU),
        _inverted(12, 16, 2, expand=4, activation=nn.Hardswish, kernel=5, squeeze=True),
        _inverted(16, 16, 1, expand=4, activation=nn.Hardswish, kernel=5, squeeze=True),
    ]
    features = [conv_norm(3, 8, 3, 2, activation=nn.Hardswish), *blocks, conv_norm(16, 64, 1, activation=nn.Hardswish)]
    top = [nn.Linear(64, 64), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(64, 10)]
    return nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *top)
