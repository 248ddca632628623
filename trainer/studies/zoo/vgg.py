"""VGG: plain 3 x 3 convolutions with bias, max pools, two wide linear layers; without and with BatchNormalization.

Source: Simonyan & Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition (2015).
"""

from torch import nn

PLAN = ((3, 8), (8, 8), None, (8, 16), (16, 16), None, (16, 32), (32, 32), None)
"""Inner and outer channels of a convolution; None is a max pool."""


def _features(norms: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for widths in PLAN:
        if widths is None:
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers += [nn.Conv2d(*widths, 3, padding=1), *([nn.BatchNorm2d(widths[1])] if norms else []), nn.ReLU()]
    return layers


def _vgg(norms: bool) -> nn.Sequential:
    head = [nn.Linear(32 * 4, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*_features(norms), nn.AdaptiveAvgPool2d(2), nn.Flatten(), *head, nn.Linear(64, 10))


def vgg() -> nn.Sequential:
    """Without normalisation: every convolution keeps its bias."""
    return _vgg(norms=False)


def vgg_norm() -> nn.Sequential:
    """With BatchNormalization after every convolution."""
    return _vgg(norms=True)
