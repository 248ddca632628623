"""Reductions over some axes or over all, running sums, and the places of extremes."""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from trainer.frozen.node import Node
from trainer.frozen.operators import Binder, Kernel, operator

Reduction = Callable[[Tensor, tuple[int, ...], bool], Tensor]
"""From a tensor, at least one axis, and whether these stay with size 1."""


def _reduce(reduce: Reduction, x: Tensor, axes: tuple[int, ...], keeps: bool) -> Tensor:
    # Without axes each element is reduced alone: the length of one number is its absolute value.
    return reduce(x, axes, keeps) if axes else reduce(x.unsqueeze(-1), (-1,), False)


def _over_attribute(reduce: Reduction) -> Binder:
    """`axes` is an attribute; without it all axes are reduced."""

    def bind(node: Node) -> Kernel:
        axes, keeps = node.integers("axes"), bool(node.integer("keepdims", 1))
        return lambda x: _reduce(reduce, x, axes or tuple(range(x.dim())), keeps)

    return bind


def _over_input(reduce: Reduction) -> Binder:
    """`axes` is an input; without it, or with none in it, all axes are reduced unless noop_with_empty_axes is 1."""

    def bind(node: Node) -> Kernel:
        keeps, idles = bool(node.integer("keepdims", 1)), bool(node.integer("noop_with_empty_axes", 0))

        def apply(x: Tensor, axes: Tensor | None = None) -> Tensor:
            if axes is not None and axes.numel():
                return reduce(x, tuple(axes.tolist()), keeps)
            return _reduce(reduce, x, () if idles else tuple(range(x.dim())), keeps)

        return apply

    return bind


def _sum(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    # Torch would sum small integers into int64; ONNX keeps their type.
    return torch.sum(x, dim=dim, keepdim=keepdim, dtype=x.dtype)


def _mean(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    if x.is_floating_point():
        return torch.mean(x, dim=dim, keepdim=keepdim)
    # ONNX divides integers as C does.
    return torch.div(_sum(x, dim, keepdim), prod(x.shape[axis] for axis in dim), rounding_mode="trunc")


def _product(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    # Torch multiplies along one axis only; from the last to the first, those still to come keep their place.
    for axis in sorted((axis % x.dim() for axis in dim), reverse=True):
        x = torch.prod(x, dim=axis, keepdim=keepdim, dtype=x.dtype)
    return x


def _lowest(kind: torch.dtype, sign: int) -> float:
    if kind.is_floating_point:
        return -sign * torch.inf
    if kind == torch.bool:
        return sign < 0
    return torch.iinfo(kind).min if sign > 0 else torch.iinfo(kind).max


def _extreme(find: Kernel, sign: int) -> Reduction:
    """The largest element (sign 1) or the smallest (-1); of nothing it is what any element would beat."""

    def reduce(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
        if any(x.shape[axis] == 0 for axis in dim):
            reduced = {axis % x.dim() for axis in dim}
            sizes = [1 if axis in reduced else size for axis, size in enumerate(x.shape)]
            x = x.new_full(sizes, _lowest(x.dtype, sign))
        found = find(x, dim=dim, keepdim=keepdim)
        assert isinstance(found, Tensor)
        return found

    return reduce


def _length(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    if not x.is_floating_point():
        return _sum(x * x, dim, keepdim).double().sqrt().to(x.dtype)
    # Unlike the root of a sum it has a gradient at zero.
    length: Tensor = torch.linalg.vector_norm(x, dim=dim, keepdim=keepdim)
    return length


_REDUCTIONS: dict[str, tuple[Reduction, tuple[int, ...], tuple[int, ...]]] = {
    "ReduceSum": (_sum, (1, 11), (13,)),
    "ReduceMean": (_mean, (1, 11, 13), (18,)),
    "ReduceMax": (_extreme(torch.amax, 1), (1, 11, 12, 13), (18, 20)),
    "ReduceMin": (_extreme(torch.amin, -1), (1, 11, 12, 13), (18, 20)),
    "ReduceProd": (_product, (1, 11, 13), (18,)),
    "ReduceL1": (lambda x, dim, keepdim: _sum(x.abs(), dim, keepdim), (1, 11, 13), (18,)),
    "ReduceL2": (_length, (1, 11, 13), (18,)),
    "ReduceSumSquare": (lambda x, dim, keepdim: _sum(x * x, dim, keepdim), (1, 11, 13), (18,)),
    "ReduceLogSum": (lambda x, dim, keepdim: _sum(x, dim, keepdim).log(), (1, 11, 13), (18,)),
    "ReduceLogSumExp": (torch.logsumexp, (1, 11, 13), (18,)),
}
"""Each with its versions that have the axes as an attribute, and those that have them as an input."""

for _name, (_reduction, _before, _since) in _REDUCTIONS.items():
    operator(_name, versions=_before)(_over_attribute(_reduction))
    operator(_name, versions=_since)(_over_input(_reduction))


def _place(find: Kernel) -> Binder:
    """The index along one axis of an extreme, the first one unless select_last_index is 1; int64, on the CPU."""

    def bind(node: Node) -> Kernel:
        axis, keeps = node.integer("axis", 0), bool(node.integer("keepdims", 1))
        takes_last = bool(node.integer("select_last_index", 0))

        def apply(x: Tensor) -> Tensor:
            found = find(x.flip(axis) if takes_last else x, dim=axis, keepdim=keeps)
            assert isinstance(found, Tensor)
            return (x.shape[axis] - 1 - found if takes_last else found).to("cpu")

        return apply

    return bind


operator("ArgMax", versions=(1, 11, 12, 13))(_place(torch.argmax))
operator("ArgMin", versions=(1, 11, 12, 13))(_place(torch.argmin))


@operator("CumSum", versions=(11, 14))
def running_sum(node: Node) -> Kernel:
    """Sum of the elements up to each one along an axis (an input), from the end if reverse, without it if exclusive."""
    excludes, reverses = bool(node.integer("exclusive", 0)), bool(node.integer("reverse", 0))

    def apply(x: Tensor, axis: Tensor) -> Tensor:
        along = int(axis.item())
        x = x.flip(along) if reverses else x
        if excludes:
            head = torch.zeros_like(x.narrow(along, 0, min(1, x.shape[along])))
            x = torch.cat((head, x.narrow(along, 0, max(x.shape[along] - 1, 0))), along)
        sums = torch.cumsum(x, along, dtype=x.dtype)
        return sums.flip(along) if reverses else sums

    return apply
