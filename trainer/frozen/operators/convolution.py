"""Convolution over one to three spatial axes."""

from torch import Tensor
from torch.nn import functional

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator
from trainer.frozen.windows import Window, flat_pads

_BY_AXES = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


@operator("Conv", versions=(1, 11, 22))
def convolution(node: Node) -> Kernel:
    """Cross-correlation of (N, C, *spatial) with weights (M, C/group, *kernel), plus bias (M,)."""
    window, groups = Window.read(node), node.integer("group", 1)
    strides, dilations = window.strides or 1, window.dilations or 1
    padding = window.symmetric_pads()

    def apply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        kernel = tuple(weight.shape[2:])
        if len(kernel) not in _BY_AXES:
            raise node.refusal(f"{len(kernel)} spatial axes, allowed {sorted(_BY_AXES)}")
        native = padding
        if native is None:
            spans = window.spans(tuple(x.shape[2:]), kernel)
            x, native = functional.pad(x, flat_pads([(span.begin, span.reach) for span in spans])), 0
        return _BY_AXES[len(kernel)](x, weight, bias, strides, native, dilations, groups)

    return apply
