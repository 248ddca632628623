"""Views and rearrangements: the same elements in another shape, order or selection."""

from math import prod

import numpy as np
import torch
from torch import Tensor

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator, plain


@operator("Flatten", versions=(9, 11, 13, 21, 23, 24, 25))
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
    return lambda *parts: torch.cat(parts, dim=axis)


@operator("Gather", versions=(1, 11, 13))
def gather(node: Node) -> Kernel:
    """The slices of `x` at integer `indices` (any shape; negative ones count from the end) along `axis`."""
    axis = node.integer("axis", 0)

    def apply(x: Tensor, indices: Tensor) -> Tensor:
        at = axis % x.dim()
        picks = indices.to(x.device).reshape(-1)
        rows = x.index_select(at, torch.where(picks < 0, picks + x.shape[at], picks))
        return rows.reshape(x.shape[:at] + indices.shape + x.shape[at + 1 :])

    return apply


def _slice(x: Tensor, cuts: dict[int, slice]) -> Tensor:
    """Numpy's slicing, which is ONNX's; torch itself has no negative steps."""
    forward = [cuts.get(axis, slice(None)) for axis in range(x.dim())]
    for axis, cut in cuts.items():
        if cut.step is not None and cut.step < 0:
            forward[axis] = slice(None)
            picks = list(range(*cut.indices(x.shape[axis])))
            x = x.index_select(axis, torch.tensor(picks, dtype=torch.int64, device=x.device))
    return x[tuple(forward)]


@operator("Slice", versions=(1,))
def slice_attributes(node: Node) -> Kernel:
    """From `starts` up to `ends` along `axes`, the first ones by default; all from attributes."""
    starts, ends = node.integers("starts") or (), node.integers("ends") or ()
    axes = node.integers("axes") or tuple(range(len(starts)))
    cuts = {axis: slice(start, end) for axis, start, end in zip(axes, starts, ends, strict=True)}
    return lambda x: _slice(x, {axis % x.dim(): cut for axis, cut in cuts.items()})


@operator("Slice", versions=(10, 11, 13))
@plain
def slice_inputs(
    x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    """From `starts` up to `ends` along `axes` (the first ones by default) in `steps`; all from inputs."""
    count = starts.numel()
    along: list[int] = list(range(count)) if axes is None else axes.tolist()
    strides: list[int] = [1] * count if steps is None else steps.tolist()
    corners = zip(along, starts.tolist(), ends.tolist(), strides, strict=True)
    return _slice(x, {axis % x.dim(): slice(start, end, step) for axis, start, end, step in corners})
