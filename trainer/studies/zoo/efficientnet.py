"""EfficientNet (SiLU, squeeze-and-excitation) and EfficientNet-Lite (ReLU6, none).

Sources: Tan & Le, EfficientNet (2019); the Lite variant of TensorFlow's repository (2020).
"""

from torch import nn

from trainer.studies.zoo.blocks import Activation, Residual, SqueezeExcite, conv_norm, head

PLAN = ((8, 8, 1, 1, 3), (8, 12, 2, 6, 3), (12, 12, 1, 6, 3), (12, 16, 2, 6, 5), (16, 16, 1, 6, 5))
"""Inner and outer channels, stride, expansion, kernel."""


def _block(
    inner: int, outer: int, stride: int, expand: int, kernel: int, activation: Activation, squeeze: bool
) -> nn.Module:
    wide = inner * expand
    layers = [conv_norm(inner, wide, 1, activation=activation)] if expand > 1 else []
    layers.append(conv_norm(wide, wide, kernel, stride, groups=wide, activation=activation))
    # The squeezed width follows the block's input, not its expansion.
    excite = [SqueezeExcite(wide, max(2, inner // 4), activation, nn.Sigmoid)] if squeeze else []
    body = (*layers, *excite, conv_norm(wide, outer, 1, activation=None))
    return Residual(*body) if stride == 1 and inner == outer else nn.Sequential(*body)


def _efficientnet(activation: Activation, squeeze: bool) -> nn.Sequential:
    blocks = [_block(*step, activation, squeeze) for step in PLAN]
    stem, last = conv_norm(3, 8, 3, 2, activation=activation), conv_norm(16, 64, 1, activation=activation)
    return nn.Sequential(stem, *blocks, last, head(64, 10, dropout=0.2))


def efficientnet() -> nn.Sequential:
    """The blocks of B0."""
    return _efficientnet(nn.SiLU, squeeze=True)


def efficientnet_lite() -> nn.Sequential:
    """The blocks of Lite0."""
    return _efficientnet(nn.ReLU6, squeeze=False)
