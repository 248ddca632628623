"""Selections by ranges, places and truth values: some elements of a tensor, or a tensor with some of them replaced.

Places are integer tensors, negative ones count from the end; they have no gradient, what lies there has one.
"""

from math import prod

import torch
from torch import Tensor

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator, plain
from trainer.frozen.operators.devices import together


def _backward_places(cut: slice, size: int) -> list[int]:
    """From start down to before end; unlike numpy's, a start before the first element means the first."""
    start, end = (place + size if place < 0 else place for place in (cut.start, cut.stop))
    first = max(min(start, size - 1), 0)
    return list(range(first, max(min(end, size - 1), -1), cut.step)) if size else []


def _slice(x: Tensor, cuts: dict[int, slice]) -> Tensor:
    """Numpy's slicing, which is ONNX's unless it goes backwards; torch itself has no negative steps."""
    forward = [slice(None)] * x.dim()
    for axis, cut in cuts.items():
        if cut.step is None or cut.step > 0:
            # Within the axis: exporters write the smallest and the largest 64-bit number, of which torch warns.
            forward[axis] = slice(*cut.indices(x.shape[axis]))
        else:
            picks = torch.tensor(_backward_places(cut, x.shape[axis]), dtype=torch.int64, device=x.device)
            x = x.index_select(axis, picks)
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


def _from_front(places: Tensor, size: int, like: Tensor) -> Tensor:
    """Places that count from the front, in torch's type for them, where `like` lies."""
    places = places.to(like.device, torch.int64)
    return torch.where(places < 0, places + size, places)


@operator("Gather", versions=(1, 11, 13))
def gather(node: Node) -> Kernel:
    """The slices of `x` at integer `indices` (any shape) along `axis`."""
    axis = node.integer("axis", 0)

    def apply(x: Tensor, indices: Tensor) -> Tensor:
        at = axis % x.dim()
        if indices.dim() == 0:
            # A view: exporters take query, key and value apart this way, and every size out of a shape.
            return x.select(at, int(indices))
        rows = x.index_select(at, _from_front(indices, x.shape[at], x).reshape(-1))
        return rows.reshape(x.shape[:at] + indices.shape + x.shape[at + 1 :])

    return apply


@operator("GatherElements", versions=(11, 13))
def gather_elements(node: Node) -> Kernel:
    """For each index the element at it along `axis`, and at the index's own place along the other axes."""
    axis = node.integer("axis", 0)
    return lambda x, indices: torch.gather(x, axis, _from_front(indices, x.shape[axis], x))


@operator("GatherND", versions=(11, 12, 13))
def gather_at_tuples(node: Node) -> Kernel:
    """The elements or slices of `x` at tuples, the last axis of `indices`, after `batch_dims` axes that both share."""
    shared = node.integer("batch_dims", 0)

    def apply(x: Tensor, indices: Tensor) -> Tensor:
        rank = indices.dim() - 1
        grid = [
            torch.arange(x.shape[axis], device=x.device).reshape([-1 if axis == at else 1 for at in range(rank)])
            for axis in range(shared)
        ]
        return x[(*grid, *indices.to(x.device, torch.int64).unbind(-1))]

    return apply


_REDUCES = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
"""ONNX's names of reductions and torch's."""


def _read_reduction(node: Node) -> str:
    reduction = node.text("reduction", "none")
    if reduction not in ("none", *_REDUCES):
        raise node.refusal(f"reduction is {reduction!r}, allowed {['none', *_REDUCES]}; export the model again")
    return reduction


def _scatter(x: Tensor, axis: int, places: Tensor, updates: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return torch.scatter(x, axis, places, updates)
    return torch.scatter_reduce(x, axis, places, updates, _REDUCES[reduction])


@operator("Scatter", versions=(9,))
@operator("ScatterElements", versions=(11, 13, 16, 18))
def scatter_elements(node: Node) -> Kernel:
    """`x` with `updates` at `indices` along `axis`, in place of the old elements or reduced with them."""
    axis, reduction = node.integer("axis", 0), _read_reduction(node)

    def apply(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        x, updates = together(x, updates)
        return _scatter(x, axis, _from_front(indices, x.shape[axis], x), updates, reduction)

    return apply


@operator("ScatterND", versions=(11, 13, 16, 18))
def scatter_at_tuples(node: Node) -> Kernel:
    """`x` with elements or slices of `updates` at tuples, the last axis of `indices`, or reduced with what is there."""
    reduction = _read_reduction(node)

    def apply(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        x, updates = together(x, updates)
        depth = indices.shape[-1]
        sizes = x.shape[:depth]
        places = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=x.device)
        for size, part in zip(sizes, indices.unbind(-1), strict=True):
            places = places * size + _from_front(part, size, x)
        rows, changes = x.reshape(prod(sizes), -1), updates.reshape(places.numel(), -1)
        spread = places.reshape(-1, 1).expand(changes.shape)
        return _scatter(rows, 0, spread, changes, reduction).reshape(x.shape)

    return apply


@operator("TopK", versions=(1,), outputs=2)
def top_of_attribute(node: Node) -> Kernel:
    """The k largest elements along `axis`, largest first, and their places; k is an attribute."""
    axis, count = node.integer("axis", -1), node.integer("k", 0)
    return lambda x: _top(x, axis, count, largest=True)


@operator("TopK", versions=(10, 11, 24), outputs=2)
def top_of_input(node: Node) -> Kernel:
    """The k largest or smallest elements along `axis`, in their order, and their places; k is an input."""
    axis, largest = node.integer("axis", -1), bool(node.integer("largest", 1))
    if not node.integer("sorted", 1):
        raise node.refusal("sorted is 0, allowed 1: without it no order is defined; export the model with it")
    return lambda x, count: _top(x, axis, int(count.item()), largest)


def _top(x: Tensor, axis: int, count: int, largest: bool) -> tuple[Tensor, Tensor]:
    # Of equal elements the first comes first, which torch's own topk does not promise.
    values, places = torch.sort(x, dim=axis, descending=largest, stable=True)
    return values.narrow(axis, 0, count), places.narrow(axis, 0, count).to("cpu")


@operator("NonZero", versions=(9, 13))
@plain
def nonzero(x: Tensor) -> Tensor:
    """The places of all elements that are not zero, one row for each axis, on the CPU."""
    return torch.nonzero(x).t().to("cpu")


@operator("Compress", versions=(9, 11))
def compress(node: Node) -> Kernel:
    """The slices along `axis`, or without one the elements, for which the condition, a vector, is true."""
    axis = None if "axis" not in node.attributes else node.integer("axis", 0)

    def apply(x: Tensor, condition: Tensor) -> Tensor:
        picks = torch.nonzero(condition).reshape(-1).to(x.device)
        return x.reshape(-1).index_select(0, picks) if axis is None else x.index_select(axis, picks)

    return apply


@operator("Trilu", versions=(14,))
def triangle(node: Node) -> Kernel:
    """The upper or lower triangle of the last two axes, from the k-th diagonal on, zeros elsewhere."""
    keep = torch.triu if node.integer("upper", 1) else torch.tril
    return lambda x, shift=None: keep(x, 0 if shift is None else int(shift.item()))
