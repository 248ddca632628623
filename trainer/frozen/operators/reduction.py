"""Reductions over some axes, or over all."""

import torch
from torch import Tensor

from trainer.frozen.node import Node
from trainer.frozen.operators import Binder, Kernel, operator


def _over_attribute(reduce: Kernel) -> Binder:
    """`axes` is an attribute; without it all axes are reduced."""

    def bind(node: Node) -> Kernel:
        axes, keeps = node.integers("axes"), bool(node.integer("keepdims", 1))
        return lambda x: reduce(x, dim=axes or tuple(range(x.dim())), keepdim=keeps)

    return bind


def _over_input(reduce: Kernel) -> Binder:
    """`axes` is an input; without it, or with none in it, all axes are reduced unless noop_with_empty_axes is 1."""

    def bind(node: Node) -> Kernel:
        keeps, idles = bool(node.integer("keepdims", 1)), bool(node.integer("noop_with_empty_axes", 0))

        def apply(x: Tensor, axes: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
            if axes is not None and axes.numel():
                return reduce(x, dim=tuple(axes.tolist()), keepdim=keeps)
            return x if idles else reduce(x, dim=tuple(range(x.dim())), keepdim=keeps)

        return apply

    return bind


def _sum(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    # Torch would sum small integers into int64; ONNX keeps their type.
    return torch.sum(x, dim=dim, keepdim=keepdim, dtype=x.dtype)


operator("ReduceMean", versions=(1, 11, 13))(_over_attribute(torch.mean))
operator("ReduceMean", versions=(18,))(_over_input(torch.mean))
operator("ReduceSum", versions=(1, 11))(_over_attribute(_sum))
operator("ReduceSum", versions=(13,))(_over_input(_sum))
operator("ReduceMax", versions=(1, 11, 12, 13))(_over_attribute(torch.amax))
operator("ReduceMax", versions=(18, 20))(_over_input(torch.amax))
