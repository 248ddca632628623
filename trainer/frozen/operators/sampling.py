"""Picking pixels at places that another tensor gives."""

from functools import partial

from torch.nn import functional

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator

_MODES = {"bilinear": "bilinear", "linear": "bilinear", "nearest": "nearest", "bicubic": "bicubic", "cubic": "bicubic"}
_PADDINGS = ("zeros", "border", "reflection")


@operator("GridSample", versions=(16, 20, 22))
def grid_sample(node: Node) -> Kernel:
    """The input at places from -1 to 1 along each axis, last axis first; the gradient reaches input and places."""
    mode, padding = node.text("mode", "linear"), node.text("padding_mode", "zeros")
    if mode not in _MODES or padding not in _PADDINGS:
        raise node.refusal(
            f"mode is {mode!r} with padding_mode {padding!r}, allowed {sorted(_MODES)} and {_PADDINGS}; export the "
            f"model again"
        )
    aligned = bool(node.integer("align_corners", 0))
    return partial(functional.grid_sample, mode=_MODES[mode], padding_mode=padding, align_corners=aligned)
