"""Tensors made from sizes and numbers: fillings, ranges, unit matrices and one-hot rows."""

import math

import numpy as np
import torch
from torch import Tensor

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator, plain
from trainer.frozen.operators.constant import converted, torch_type


@operator("ConstantOfShape", versions=(9, 20, 21, 23, 24, 25))
def constant_of_shape(node: Node) -> Kernel:
    """A tensor of the sizes given, filled with the one element of the attribute `value`, a float32 zero by default."""
    value = node.attributes.get("value", np.zeros(1, dtype=np.float32))
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise node.refusal(f"attribute 'value' is {value!r}, expected a tensor of one element; export the model again")
    element = torch.from_numpy(value.reshape(()))
    return lambda sizes: element.expand(sizes.tolist()).clone()


@operator("Range", versions=(11,))
@plain
def count_up(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """The numbers start, start + delta, ... before limit, on the CPU; all three are scalars of one type."""
    first, last, step = start.item(), limit.item(), delta.item()
    count = max(math.ceil((last - first) / step), 0)
    return torch.arange(count, dtype=start.dtype) * step + first


@operator("EyeLike", versions=(9, 22))
def eye_like(node: Node) -> Kernel:
    """Ones on the k-th diagonal of a matrix of the input's shape, of its type or of `dtype`."""
    shift, stated = node.integer("k", 0), torch_type(node, "dtype")

    def apply(x: Tensor) -> Tensor:
        rows, columns = torch.arange(x.shape[0], device=x.device), torch.arange(x.shape[1], device=x.device)
        return converted(columns - rows[:, None] == shift, stated or x.dtype)

    return apply


@operator("OneHot", versions=(9, 11))
def one_hot(node: Node) -> Kernel:
    """A new axis of size `depth`, on at each index and off elsewhere; an index beyond depth leaves all off.

    `values` are off and on, in this order. A negative index counts from the end, at version 9 too: so does onnxruntime.
    """
    axis = node.integer("axis", -1)

    def apply(indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
        size = int(depth.item())
        picks = indices.to(values.device, torch.int64)
        places = torch.arange(size, device=values.device)
        hits = torch.where(picks < 0, picks + size, picks).unsqueeze(-1) == places
        off, on = values.unbind()
        return torch.where(hits, on, off).movedim(-1, axis)

    return apply
