"""Views and rearrangements: all elements of a tensor, in another shape, order or number."""

import sys
from math import prod

import numpy as np
import torch
from torch import Tensor

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator, plain
from trainer.frozen.operators.devices import together

ANY_NUMBER = sys.maxsize
"""Of outputs."""


@operator("Flatten", versions=(1, 9, 11, 13, 21, 23, 24, 25))
def flatten(node: Node) -> Kernel:
    """To a matrix: the axes before `axis` are its rows, the others its columns."""
    axis = node.integer("axis", 1)

    def apply(x: Tensor) -> Tensor:
        return x.reshape(prod(x.shape[:axis]), prod(x.shape[axis:]))

    return apply


@operator("Reshape", versions=(5, 13, 14, 19, 21, 23, 24, 25))
def reshape(node: Node) -> Kernel:
    """To the sizes given; -1 is worked out, 0 is the input's size on that axis unless allowzero is 1."""
    takes_zero = bool(node.integer("allowzero", 0))

    def apply(x: Tensor, sizes: Tensor) -> Tensor:
        wanted: list[int] = sizes.tolist()
        if not takes_zero:
            wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
        return x.reshape(wanted)

    return apply


@operator("Transpose", versions=(1, 13, 21, 23, 24, 25))
def transpose(node: Node) -> Kernel:
    """Axes in the order `perm`, reversed by default."""
    order = node.integers("perm")
    return lambda x: x.permute(order if order is not None else tuple(reversed(range(x.dim()))))


def _squeeze(x: Tensor, axes: tuple[int, ...] | None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(axes)


@operator("Squeeze", versions=(1, 11))
def squeeze_attribute(node: Node) -> Kernel:
    """Without the axes of size 1 in the attribute `axes`, all of them by default."""
    axes = node.integers("axes")
    return lambda x: _squeeze(x, axes)


@operator("Squeeze", versions=(13, 21, 23, 24, 25))
@plain
def squeeze_input(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Without the axes of size 1 in the input `axes`, all of them by default."""
    return _squeeze(x, None if axes is None else tuple(axes.tolist()))


def _unsqueeze(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@operator("Unsqueeze", versions=(1, 11))
def unsqueeze_attribute(node: Node) -> Kernel:
    """With axes of size 1 put where the attribute `axes` says, counted in the result."""
    axes = node.integers("axes") or ()
    return lambda x: _unsqueeze(x, axes)


@operator("Unsqueeze", versions=(13, 21, 23, 24, 25))
@plain
def unsqueeze_input(x: Tensor, axes: Tensor) -> Tensor:
    """With axes of size 1 put where the input `axes` says, counted in the result."""
    return _unsqueeze(x, tuple(axes.tolist()))


@operator("Expand", versions=(8, 13))
@plain
def expand(x: Tensor, sizes: Tensor) -> Tensor:
    """Repeated along axes of size 1, or new ones in front, until its shape is that of broadcasting with `sizes`."""
    return x.expand(np.broadcast_shapes(tuple(x.shape), tuple(sizes.tolist())))


@operator("Concat", versions=(4, 11, 13))
def concat(node: Node) -> Kernel:
    """One tensor after the other along `axis`."""
    axis = node.integer("axis", 1)
    return lambda *parts: torch.cat(together(*parts), dim=axis)


def _split(x: Tensor, axis: int, sizes: list[int]) -> tuple[Tensor, ...]:
    return tuple(torch.split(x, sizes, dim=axis))


def _even_sizes(total: int, count: int) -> list[int]:
    """Equal sizes, the last smaller where they do not go into the total."""
    size = -(-total // count)
    return [max(min(size, total - size * part), 0) for part in range(count)]


@operator("Split", versions=(2, 11), outputs=ANY_NUMBER)
def split_by_attribute(node: Node) -> Kernel:
    """Into parts along `axis`, of the sizes in the attribute `split`, equal ones by default."""
    axis, sizes, count = node.integer("axis", 0), node.integers("split"), len(node.outputs)
    return lambda x: _split(x, axis, _even_sizes(x.shape[axis], count) if sizes is None else list(sizes))


@operator("Split", versions=(13, 18), outputs=ANY_NUMBER)
def split_by_input(node: Node) -> Kernel:
    """Into parts along `axis`, of the sizes in the input `split`, else `num_outputs` equal ones and a smaller last."""
    axis, count = node.integer("axis", 0), node.integer("num_outputs", len(node.outputs))

    def apply(x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
        return _split(x, axis, _even_sizes(x.shape[axis], count) if sizes is None else sizes.tolist())

    return apply


@operator("Tile", versions=(6, 13))
@plain
def tile(x: Tensor, repeats: Tensor) -> Tensor:
    """The whole tensor, `repeats` times along each axis."""
    return x.tile(repeats.tolist())


@operator("DepthToSpace", versions=(1, 11, 13))
def depth_to_space(node: Node) -> Kernel:
    """(N, C b b, H, W) to (N, C, H b, W b); mode DCR has the blocks before the channels, CRD after them."""
    block, mode = node.integer("blocksize", 0), node.text("mode", "DCR")
    if mode not in ("DCR", "CRD") or block < 1:
        raise node.refusal(f"mode is {mode!r} with blocks of {block}, allowed 'DCR' and 'CRD' with 1 or more")

    def apply(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        depth = c // block**2
        parts = (depth, block, block) if mode == "CRD" else (block, block, depth)
        order = (0, 1, 4, 2, 5, 3) if mode == "CRD" else (0, 3, 4, 1, 5, 2)
        return x.reshape(n, *parts, h, w).permute(order).reshape(n, depth, h * block, w * block)

    return apply


@operator("SpaceToDepth", versions=(1, 13))
def space_to_depth(node: Node) -> Kernel:
    """(N, C, H b, W b) to (N, b b C, H, W), the place in a block before the channel."""
    block, mode = node.integer("blocksize", 0), node.text("mode", "DCR")
    # Opset 28 brings modes; a file of an older opset that has one all the same asks for another order.
    if mode != "DCR" or block < 1:
        raise node.refusal(f"mode is {mode!r} with blocks of {block}, allowed 'DCR' with 1 or more")

    def apply(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
        return blocks.reshape(n, c * block**2, h // block, w // block)

    return apply
