"""Transposed convolution over one to three spatial axes."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator
from trainer.frozen.windows import Window, flat_pads

_BY_AXES = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


@operator("ConvTranspose", versions=(1, 11, 22))
def transposed_convolution(node: Node) -> Kernel:
    """The gradient of a convolution as an operation: (N, C, *spatial) with weights (C, M/group, *kernel), bias (M,)."""
    window, groups = Window.read(node), node.integer("group", 1)
    extra, wanted = node.integers("output_padding"), node.integers("output_shape")

    def apply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        kernel, sizes = tuple(weight.shape[2:]), tuple(x.shape[2:])
        axes = len(kernel)
        if axes not in _BY_AXES:
            raise node.refusal(f"{axes} spatial axes, allowed {sorted(_BY_AXES)}; export the model without it")
        strides, dilations = window.strides or (1,) * axes, window.dilations or (1,) * axes
        whole = _BY_AXES[axes](x, weight, None, strides, 0, 0, groups, dilations)
        more = extra or (0,) * axes
        grown = [size + rest for size, rest in zip(whole.shape[2:], more, strict=True)]
        ends = _ends(window, grown, wanted or _same_sizes(window, sizes, strides, grown))
        # What the padding takes away is a crop here, and what output_padding adds is not reached by any window.
        ends = [(begin, end + rest) for (begin, end), rest in zip(ends, more, strict=True)]
        cropped = functional.pad(whole, flat_pads(ends)) if any(end != (0, 0) for end in ends) else whole
        return cropped if bias is None else torch.add(cropped, bias.reshape(-1, *(1,) * axes))

    return apply


def _same_sizes(
    window: Window, sizes: tuple[int, ...], strides: tuple[int, ...], grown: list[int]
) -> tuple[int, ...] | None:
    """The input's sizes times the strides, but nothing that no window reaches; None if auto_pad is not SAME."""
    if not window.auto_pad.startswith("SAME"):
        return None
    return tuple(min(size * stride, most) for size, stride, most in zip(sizes, strides, grown, strict=True))


def _ends(window: Window, grown: list[int], wanted: tuple[int, ...] | None) -> list[tuple[int, int]]:
    """What to add at both ends of each axis; negative numbers crop."""
    if wanted is None:
        half = len(grown)
        pads = window.pads or (0,) * (2 * half)
        return [(-begin, -end) for begin, end in zip(pads[:half], pads[half:], strict=True)]
    ends = []
    for size, goal in zip(grown, wanted[-len(grown) :], strict=True):
        surplus = max(size - goal, 0)
        # An odd one more is taken from the tail for SAME_UPPER, and from the head for all the others.
        head = surplus // 2 if window.auto_pad == "SAME_UPPER" else surplus - surplus // 2
        ends.append((-head, goal - size + head))
    return ends
