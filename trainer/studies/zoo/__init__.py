"""Small torch definitions of the architectures that frozen models come in; for the page of what can be read.

They keep every kind of node that the original makes an exporter write, at a width and depth that a test affords. The
weights are drawn, not trained: what is tried is the reading, not the network. One file per family; a new architecture
is a function there and a line in `ARCHITECTURES`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from trainer.studies.zoo import (
    convnext,
    deeplab,
    densenet,
    efficientnet,
    inception,
    mobilenet,
    resnet,
    shufflenet,
    squeezenet,
    unet,
    vgg,
    vit,
)


class Architecture(NamedTuple):
    """How to build one, and what it takes.

    Attributes:
        build: makes the network with torch's initial weights.
        shape: (channels, height, width) of its pictures.
        open_size: True if it takes other heights and widths.
        oldest_opset: the first that the tracing exporter can write it in.
    """

    build: Callable[[], nn.Module]
    shape: tuple[int, int, int] = (3, 64, 64)
    open_size: bool = True
    oldest_opset: int = 13


SMALL = (3, 32, 32)

ARCHITECTURES: dict[str, Architecture] = {
    "ResNet, basic": Architecture(resnet.resnet_basic),
    "ResNet, bottleneck": Architecture(resnet.resnet_bottleneck),
    "ResNet-20": Architecture(resnet.resnet20, SMALL),
    # The tracing exporter knows no adaptive pool to 2 x 2 of a size that it does not know.
    "VGG": Architecture(vgg.vgg, SMALL, open_size=False),
    "VGG, normalised": Architecture(vgg.vgg_norm, SMALL, open_size=False),
    "DenseNet": Architecture(densenet.densenet),
    "MobileNetV2": Architecture(mobilenet.mobilenet_v2),
    "MobileNetV3": Architecture(mobilenet.mobilenet_v3),
    "EfficientNet": Architecture(efficientnet.efficientnet),
    "EfficientNet-Lite": Architecture(efficientnet.efficientnet_lite),
    "ShuffleNetV2": Architecture(shufflenet.shufflenet),
    "SqueezeNet": Architecture(squeezenet.squeezenet),
    "Inception": Architecture(inception.inception),
    "ConvNeXt": Architecture(convnext.convnext),
    "U-Net, transposed": Architecture(unet.unet_transposed),
    "U-Net, bilinear": Architecture(unet.unet_bilinear),
    "DeepLab": Architecture(deeplab.deeplab),
    "ViT, fused attention": Architecture(vit.vit_fused, SMALL, open_size=False, oldest_opset=14),
    "ViT, module attention": Architecture(vit.vit_module, SMALL, open_size=False, oldest_opset=14),
}


def build(name: str, *, seed: int = 0) -> nn.Module:
    """One of `ARCHITECTURES` in inference mode, the same at every call with the same seed.

    Weights and biases are drawn so that signals neither die nor explode, and the running statistics of
    BatchNormalization are those of a few random batches: none of them is the 0 or 1 that would hide a mistake.
    """
    architecture = ARCHITECTURES[name]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        net = architecture.build()
        for parameter in net.parameters():
            _draw(parameter)
        _settle(net, architecture.shape)
    return net.eval()


def _draw(parameter: nn.Parameter) -> None:
    if parameter.dim() > 1:
        nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    elif (parameter == 1).all():  # The scale of a normalisation.
        nn.init.uniform_(parameter, 0.5, 1.5)
    else:
        nn.init.normal_(parameter, std=0.1)


def _settle(net: nn.Module, shape: tuple[int, int, int]) -> None:
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        # The plain average: with a momentum, a few batches leave the variance too small, and deep nets explode.
        norm.momentum = None
    net.train()
    for _ in range(3 if norms else 0):
        net(torch.randn(16, *shape) * 2 + 1)
